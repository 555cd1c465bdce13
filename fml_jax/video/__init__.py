"""Clips → one person's face over time: tracking, smoothing, and files."""
