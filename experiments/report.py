"""Writes a training run's report; `python -m experiments.report --help` prints the flags."""

from fml_jax.launchers.report import run

if __name__ == "__main__":
    run()
