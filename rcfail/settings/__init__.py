"""What the user set, read once into frozen sections."""
