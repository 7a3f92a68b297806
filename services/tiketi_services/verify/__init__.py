"""``tiketi``: checks a draw on anybody's own machine, without asking anybody."""
