"""Shards without a living owner, and the switch to another data centre."""
