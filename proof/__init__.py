"""The proof: what Kitestring claims of itself, as programs a reader can run again."""
