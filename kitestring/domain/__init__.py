"""The nouns of the house and their laws: prices, instruments, bars, orders, positions, and the ports."""
