"""Payment: the one judge of whether an order was paid."""
