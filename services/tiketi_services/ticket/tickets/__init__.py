"""Tickets in their owners' hands and at the gate: the signed code, check-in, the void list. PostgreSQL decides."""
