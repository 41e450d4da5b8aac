"""State machines: each part of the house against a model of its own that is too simple to be wrong."""
