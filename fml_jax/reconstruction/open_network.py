"""The network that comes with the package."""

from pathlib import Path

OPEN_WEIGHTS = Path(__file__).with_name("open_deep.npz")
OPEN_ENCODER = "deep"  # of these weights
