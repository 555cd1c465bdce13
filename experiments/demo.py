"""Shows 3D faces of a bundled photo and of your own; `python -m experiments.demo --help` prints the flags."""

from fml_jax.launchers.demo import run

if __name__ == "__main__":
    run()
