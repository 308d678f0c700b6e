"""Everything that happens on a socket, and the only import of redis."""
