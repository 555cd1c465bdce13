"""Packs training corpora into one small file, for trainings that keep their data in a GPU's memory.

    fml-pack --corpus=data/photos --output=data/photos.npz
    fml-pack --corpus=data/synthetic,data/more --output=data/synthetic.npz
    fml-train --config=open_gpu --workdir=runs/open_gpu

A corpus of 10,000 faces takes 50 MB. Pictures are compressed again, as WebP. The file holds the training split and some
faces of the validation split, and nothing of the test split. `--config.data.photos` and `--config.data.synthetic` take
such files where they take folders; the random changes of framing and colours are then made on the device.
"""

from absl import flags

from fml_jax.launchers.command_line import run_launcher

_FLAGS = flags.FlagValues()
_CORPUS = flags.DEFINE_list(
    "corpus",
    None,
    "Folders that fml-prepare wrote, all of photos or all of renders.",
    required=True,
    flag_values=_FLAGS,
)
_OUTPUT = flags.DEFINE_string("output", None, "File to write, *.npz.", required=True, flag_values=_FLAGS)
_QUALITY = flags.DEFINE_integer(
    "quality", 80, "Of the pictures; a third fewer bytes at 65.", lower_bound=1, upper_bound=100, flag_values=_FLAGS
)
_HELD_OUT = flags.DEFINE_integer(
    "held_out",
    200,
    "Faces of the validation split at most; 0 trains without held-out errors.",
    lower_bound=0,
    flag_values=_FLAGS,
)


def main() -> None:
    """Writes the file and prints its size."""
    from pathlib import Path

    from fml_jax.corpus.packed import SUFFIX, pack_corpora
    from fml_jax.errors import InputError

    path = Path(_OUTPUT.value)
    if path.suffix != SUFFIX:
        raise InputError(f"--output={path}: name a file that ends in {SUFFIX}")
    count = pack_corpora(_CORPUS.value, path, quality=_QUALITY.value, held_out=_HELD_OUT.value)
    print(f"{path}: {count} faces, {path.stat().st_size / 2**20:.0f} MiB")


def run() -> None:
    """The command `fml-pack`."""
    run_launcher(main, _FLAGS)
