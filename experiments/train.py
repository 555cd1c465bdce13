"""Trains an encoder; `python -m experiments.train --help` prints the flags."""

from fml_jax.launchers.train import run

if __name__ == "__main__":
    run()
