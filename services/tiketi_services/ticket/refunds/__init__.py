"""Tickets given back: they are void first, then the money moves, then their seats return to the sale."""
