"""Nodes that are emptied because the operator says so."""
