"""Many changes, one after the other: a place emptied, a layout brought back, every node restarted."""
