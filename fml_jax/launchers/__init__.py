"""Command-line programs. Each module's `run()` is the entry point of one command, `fml-train` for `train.py`."""
