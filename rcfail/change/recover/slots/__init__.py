"""Who owns which slot: open, disputed, unclaimed and orphaned ones."""
