"""The virtual-time world: the house, its exchange and the network between them in one thread, where a day takes seconds."""
