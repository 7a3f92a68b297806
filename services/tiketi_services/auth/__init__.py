"""Accounts, log-in and the tokens everybody else verifies."""
