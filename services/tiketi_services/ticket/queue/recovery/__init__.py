"""Redis lost the line: bring it back. And what must be known for it."""
