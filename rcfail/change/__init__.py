"""What to do: plans, what is checked before them, how they are carried out, and how it is seen that they were."""
