"""How fast buyers are let in, by how the platform copes."""
