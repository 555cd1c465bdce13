"""Fits a network's score anew; `python -m experiments.fit_score --help` prints the flags."""

from fml_jax.launchers.fit_score import run

if __name__ == "__main__":
    run()
