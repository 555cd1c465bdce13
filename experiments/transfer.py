"""Relights a face or changes its expression; `python -m experiments.transfer --help` prints the flags."""

from fml_jax.launchers.transfer import run

if __name__ == "__main__":
    run()
