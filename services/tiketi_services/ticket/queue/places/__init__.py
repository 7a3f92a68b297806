"""Where buyers stand, and what they may expect."""
