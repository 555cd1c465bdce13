"""How good reconstructions are: alignment, errors, tables."""
