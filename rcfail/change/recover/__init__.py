"""What brings a cluster back: conditions, each with its own planner, and the actions that mend them."""
