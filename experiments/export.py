"""Writes a face model for other software; `python -m experiments.export --help` prints the flags."""

from fml_jax.launchers.export import run

if __name__ == "__main__":
    run()
