"""What a new place costs, and who gets none."""
