"""Reconstructs the faces of photos in 3D; `python -m experiments.reconstruct --help` prints the flags."""

from fml_jax.launchers.reconstruct import run

if __name__ == "__main__":
    run()
