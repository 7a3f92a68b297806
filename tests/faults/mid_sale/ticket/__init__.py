"""Of ticket's database."""
