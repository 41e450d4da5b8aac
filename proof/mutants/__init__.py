"""Breaks the house on purpose, a line at a time: a change that no test notices is a test that is missing."""
