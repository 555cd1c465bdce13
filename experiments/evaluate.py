"""Measures a network; `python -m experiments.evaluate --help` prints the flags."""

from fml_jax.launchers.evaluate import run

if __name__ == "__main__":
    run()
