"""``make bench-line``: what the line costs, measured."""
