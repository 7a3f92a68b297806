"""Migrations that are run while people buy."""
