"""Makes the data folders that experiments.train reads.

Photos, each of one person, best sorted into a folder a person (then no person is in both splits):

    python -m experiments.prepare --layout=folder --input=PHOTOS --output=data/photos

Synthetic faces of the open model, rendered with known codes; a build that was cut off goes on:

    python -m experiments.prepare --layout=synthetic --count=16000 --output=data/synthetic
"""

import sys

from absl import app, flags

from fml_jax.errors import InputError

_LAYOUT = flags.DEFINE_enum("layout", "folder", ["folder", "synthetic"], "What the data are made from.")
_INPUT = flags.DEFINE_string("input", None, "Folder of photos; with --layout=synthetic, optional photos for backgrounds.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
_COUNT = flags.DEFINE_integer("count", 16000, "Synthetic faces to render.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Synthetic faces: another seed gives other faces.")
_WORKERS = flags.DEFINE_integer("workers", 2, "Processes.", lower_bound=1)


def main(_):
    try:
        _prepare()
    except InputError as error:
        sys.exit(f"prepare: {error}")


def _prepare():
    if _LAYOUT.value == "synthetic":
        from fml_jax.data.synthetic import build_synthetic
        from fml_jax.face_model.files import load_face_model

        build_synthetic(load_face_model(), _OUTPUT.value, _COUNT.value, _SEED.value, _WORKERS.value, _INPUT.value)
        return
    from fml_jax.data.corpus import build_corpus

    if not _INPUT.value:
        raise InputError("--input is missing: the folder of photos")
    about = build_corpus(_INPUT.value, _OUTPUT.value, _WORKERS.value)
    print(f"{about['examples']} of {about['photos']} photos kept in {_OUTPUT.value}")


if __name__ == "__main__":
    app.run(main)
