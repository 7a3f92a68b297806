"""The processes buyers and their tickets pass through. They never import each other; they meet in messages."""
