"""Trains the paper's comparisons; `python -m experiments.ablate --help` prints the flags."""

from fml_jax.launchers.ablate import run

if __name__ == "__main__":
    run()
