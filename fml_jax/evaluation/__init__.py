"""How good reconstructions are: errors, tables."""
