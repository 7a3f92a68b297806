"""Who waits for seats of a sold-out event, and what they are offered."""
