"""Whole runs that change a cluster, from the wish to the answer."""
