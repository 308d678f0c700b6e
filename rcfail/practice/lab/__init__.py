"""Practice clusters of real servers on this machine."""
