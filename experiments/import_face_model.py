"""Imports a face model of another layout; `python -m experiments.import_face_model --help` prints the flags."""

from fml_jax.launchers.import_face_model import run

if __name__ == "__main__":
    run()
