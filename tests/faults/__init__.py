"""Purchases while everything around them breaks, and what must be true afterwards. See docs/faults.md."""
