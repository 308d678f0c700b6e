"""Nodes that are down, that come back, and old primaries that returned empty."""
