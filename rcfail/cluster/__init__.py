"""What is true about a cluster. Pure: no clock, no network, no terminal."""
