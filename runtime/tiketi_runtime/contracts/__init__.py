"""What operator and services agree on: pure models and names, shared by both, touching nothing."""
