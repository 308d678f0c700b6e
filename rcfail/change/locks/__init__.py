"""One operator at a time: who makes a change, and that nobody else does."""
