"""A mail catcher: takes every mail that is sent in this world, delivers none, and shows them all."""
