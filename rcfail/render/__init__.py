"""From results to what is printed; the only import of rich."""
