"""Array operations tuned for XLA's CPU backend; beside each, `NAME_plain` computes the same in the obvious way."""
