"""``make bench-orders``: what a purchase costs, measured."""
