"""How fast the house is, measured through the path that trades."""
