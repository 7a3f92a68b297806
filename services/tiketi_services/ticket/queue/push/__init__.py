"""Live connections: what pages are told without asking."""
