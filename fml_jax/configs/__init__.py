"""Named training configs: `--config=small` is small.py. Each file's `get_config()` returns a ConfigDict."""
