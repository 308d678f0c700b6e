"""`python -m tests.bench`: see run.py."""

from tests.bench.run import main

if __name__ == "__main__":
    main()
