"""Makes training corpora; `python -m experiments.prepare --help` prints the flags."""

from fml_jax.launchers.prepare import run

if __name__ == "__main__":
    run()
