"""Trading ideas, one to a file."""
