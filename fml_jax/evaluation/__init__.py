"""Evaluation: error measures of reconstructions, and their tables."""
