"""Seats and money as ticket sees them: holds, orders, tickets. PostgreSQL decides, Redis paints."""
