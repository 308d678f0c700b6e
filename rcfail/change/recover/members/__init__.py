"""Who belongs to the cluster: replacements, ghosts, handshakes, and how a node is forgotten."""
