"""The commands a person types, and the words they get back."""
