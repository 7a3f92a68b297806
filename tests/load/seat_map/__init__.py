"""What the seat map of a full house costs: ``python -m tests.load.seat_map``."""
