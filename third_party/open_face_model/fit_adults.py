"""Estimates how the shapes of adults in photos vary, for renders that teach a network (fml_jax/synthetic/adults.py).

    python -m third_party.open_face_model.fit_adults --photos=LFW --output=adults.json

The mean is that of a network's predictions for photos. The spread is theirs after the predictions' noise is removed,
divided by the factor by which the network shrinks each mode. Noise and factors are measured on renders with known
identities. The mean is not divided: in modes that the network hardly sees, this would add error. The photos lie in one
folder a person. Only people of the training split are used, and the largest face of each photo. It takes about four
minutes on one core.

The shipped file was made by a script with the same formulas, with the network before the present one, from 6,000
training crops of LFW and YouTube Faces and 384 renders. This command finds nearly the same with the present network:
the means correlate by 0.96, the spreads by 0.83.
"""

import json
from pathlib import Path

import numpy as np
from absl import flags
from jaxtyping import Float
from tqdm import tqdm

from fml_jax.corpus.splits import split_of
from fml_jax.errors import InputError
from fml_jax.files import output_folder
from fml_jax.launchers.command_line import run_launcher
from fml_jax.photos.reading import list_photos
from fml_jax.reconstruction import Reconstructor
from fml_jax.synthetic.adults import IdentityDistribution
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.rendering import render_synthetic

_FLAGS = flags.FlagValues()
_PHOTOS = flags.DEFINE_string("photos", None, "Photos, one folder a person.", required=True, flag_values=_FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "File to write.", required=True, flag_values=_FLAGS)
_COUNT = flags.DEFINE_integer("count", 2000, "Photos, and renders.", lower_bound=200, flag_values=_FLAGS)

_LEAST_GAIN = 0.1  # modes that the network shrinks to less than this keep the model's spread
_SPREADS = (0.4, 1.0)  # to which spreads are clipped: adults vary less than all people


def estimated_distribution(
    photos: Float[np.ndarray, "P m_s"], renders: Float[np.ndarray, "R m_s"], known: Float[np.ndarray, "R m_s"]
) -> IdentityDistribution:
    """The distribution of the identities of people in photos.

    Args:
      photos: identities that a network predicts for them.
      renders: identities that it predicts for renders, whose people are drawn from the face model.
      known: the renders' true identities.
    """
    ones = np.ones((len(known), 1))
    weights = np.linalg.lstsq(np.concatenate([known, ones], axis=1), renders, rcond=None)[0]
    noise = np.var(renders - known @ weights[:-1] - weights[-1], axis=0)
    gains = np.diag(weights)  # by which the network shrinks each mode
    variances = np.maximum(np.var(photos, axis=0) - noise, 0) / np.maximum(gains, _LEAST_GAIN) ** 2
    spread = np.where(gains < _LEAST_GAIN, 1.0, np.sqrt(variances))
    return IdentityDistribution(photos.mean(axis=0), np.clip(spread, *_SPREADS))


def predicted_of_photos(reconstructor: Reconstructor, paths: list[Path], count: int) -> Float[np.ndarray, "P m_s"]:
    """The identities of the largest faces of up to `count` photos, drawn at random, but always the same."""
    order = np.random.default_rng(0).permutation(len(paths))[:count]
    faces = reconstructor.stream([str(paths[k]) for k in order], progress=True)
    return np.stack([np.asarray(face.code.identity) for face in faces if face.index == 0])


def predicted_of_renders(reconstructor: Reconstructor, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The identities of renders: those that the network predicts, and the true ones, both [count, m_s]."""
    model, units = reconstructor.model, expression_units(reconstructor.model)
    predicted, known = [], []
    for number in tqdm(range(count), unit="render"):
        face = render_synthetic(model, units, np.random.default_rng([77, number]))
        predicted.append(np.asarray(reconstructor.codes(face.crop[None])[0].identity)[0])
        known.append(face.code[: model.code_sizes.identity])
    return np.stack(predicted), np.stack(known)


def main() -> None:
    """Writes the file."""
    paths = [path for path in list_photos(_PHOTOS.value) if split_of(path.parent.name) == "train"]
    if not paths:
        raise InputError(f"--photos={_PHOTOS.value}: nobody in it belongs to the training split; give more people")
    output_folder(Path(_OUTPUT.value).parent)
    reconstructor = Reconstructor.default()
    photos = predicted_of_photos(reconstructor, paths, _COUNT.value)
    found = estimated_distribution(photos, *predicted_of_renders(reconstructor, _COUNT.value))
    content = {"face_model": reconstructor.model.name} | {
        name: [round(float(each), 3) for each in values] for name, values in found._asdict().items()
    }
    Path(_OUTPUT.value).write_text(json.dumps(content) + "\n")
    print(f"{len(photos)} photos: {_OUTPUT.value}")


if __name__ == "__main__":
    run_launcher(main, _FLAGS)
