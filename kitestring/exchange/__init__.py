"""A local exchange as pure code: order book, matching, accounts, rules and a synthetic market; the ground truth the engine is judged by."""
