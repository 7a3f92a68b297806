"""Of payment's database."""
