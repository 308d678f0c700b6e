"""rcfail: see, move and mend real Redis and Valkey clusters."""

__version__ = "0.1.0"
