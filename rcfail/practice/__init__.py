"""Practice on real servers: labs and the demo."""
