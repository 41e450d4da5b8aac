"""The commands of the seed, three lines each."""
