"""Measures how many faces are found; `python -m experiments.evaluate_detection --help` prints the flags."""

from fml_jax.launchers.evaluate_detection import run

if __name__ == "__main__":
    run()
