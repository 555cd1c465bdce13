"""Packs corpora for training from a GPU's memory; `python -m experiments.pack --help` prints the flags."""

from fml_jax.launchers.pack import run

if __name__ == "__main__":
    run()
