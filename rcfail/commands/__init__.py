"""One file a verb: flags in, stages called, result out. No logic."""
