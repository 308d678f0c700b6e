"""What is wrong with a cluster. Pure: from a snapshot to findings and a verdict."""
