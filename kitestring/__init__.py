"""Kitestring trades an Indian market day on Zerodha Kite, on paper or for real, with one deterministic core."""

__version__ = "0.1.0"
