"""The wire: Kite's own REST and WebSocket around the desk, and the clock, faults and ledger of a served exchange."""
