"""Whoever carries out our commands: the paper broker today, Kite itself later."""
