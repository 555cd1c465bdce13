"""Lists the exchanges of a training step; `python -m experiments.collectives --help` prints the flags."""

from fml_jax.launchers.collectives import run

if __name__ == "__main__":
    run()
