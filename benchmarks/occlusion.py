"""Measures masks on renders with hats and microphones alone, kinds of objects that a training can leave out.

    python -m benchmarks.occlusion [--count=300] [--weights=WEIGHTS]

Of the renders, those count of which objects hide 10 to 50 % of the face. A place is masked where an object hides it
more likely than not. Only places that the face would cover without objects count: intersection over union of masked and
hidden places, mean of the pictures and of all places together, and the share of the visible face's places that are
masked. Beside the network stands a mask of nothing.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from absl import app, flags
from tqdm import tqdm, trange

from fml_jax.corpus.face_labels import FACE, LABEL_SIZE, OCCLUDER, occluded_share
from fml_jax.evaluation.reference_faces import reference_face
from fml_jax.evaluation.tables import markdown
from fml_jax.face_model import load_face_model
from fml_jax.reconstruction import Reconstructor
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.rendering import Style, render_synthetic

_COUNT = flags.DEFINE_integer("count", 300, "Renders, before those with too little or too much hidden are left out.")
_SEED = flags.DEFINE_integer("seed", 175, "Another seed makes other renders.")
_WEIGHTS = flags.DEFINE_string("weights", None, "A weights file; by default the package's.")
_CACHE = flags.DEFINE_string("cache", "out/occlusion", "Folder that keeps the renders for the next run.")

KINDS = ("hats", "microphones")
HIDDEN = (0.1, 0.5)  # share of the face that objects hide, least and most


class Renders(NamedTuple):
    """Faces with objects before them."""

    crops: np.ndarray  # uint8 [N, 240, 240, 3]
    labels: np.ndarray  # uint8 [N, 120, 120], see `corpus.face_labels`
    landmarks: np.ndarray  # [N, 68, 2], crop pixels
    kinds: np.ndarray  # [N], names joined by "+"


def main(_):
    renders = kept_renders(_COUNT.value, _SEED.value, Path(_CACHE.value))
    reconstructor = Reconstructor(weights=_WEIGHTS.value) if _WEIGHTS.value else Reconstructor.default()
    faces = zip(renders.crops, renders.landmarks, strict=True)
    masked = np.stack([masked_places(reconstructor, *face) for face in tqdm(faces, total=len(renders.crops))])
    print(
        f"{len(masked)} renders, {np.mean([occluded_share(each) for each in renders.labels]):.0%} of the face hidden\n"
    )
    rows = [("all", *scores(masked, renders.labels))]
    for kind in np.unique(renders.kinds):
        of_kind = renders.kinds == kind
        rows.append((f"{kind} ({of_kind.sum()})", *scores(masked[of_kind], renders.labels[of_kind])))
    rows.append(("all, nothing masked", *scores(np.zeros_like(masked), renders.labels)))
    print(markdown(["renders", "IoU, mean of pictures", "IoU, pooled", "visible face masked"], rows))


def kept_renders(count: int, seed: int, folder: Path) -> Renders:
    """The renders of which enough is hidden and enough seen, from a file if an earlier run has left one."""
    path = folder / f"renders_{seed}_{count}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **_rendered(count, seed)._asdict())
    with np.load(path) as file:
        return Renders(*(file[name] for name in Renders._fields))


def _rendered(count: int, seed: int) -> Renders:
    model = load_face_model()
    units, style, faces = expression_units(model), Style(kinds=KINDS, unoccluded=0.0), []
    for number in trange(count, unit="render"):
        face = render_synthetic(model, units, np.random.default_rng([seed, number]), style=style)
        if HIDDEN[0] <= occluded_share(face.labels) <= HIDDEN[1]:
            faces.append((face.crop, face.labels, face.landmarks, "+".join(sorted(face.kinds))))
    return Renders(*map(np.array, zip(*faces, strict=True)))


def masked_places(reconstructor: Reconstructor, crop: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Which places of a label map [120, 120] the network masks in a picture with a face at these landmarks."""
    face = reconstructor(crop, boxes=[reference_face(landmarks).box])[0]
    return cv2.resize(face.mask, (LABEL_SIZE, LABEL_SIZE), interpolation=cv2.INTER_AREA) < 0.5


def scores(masked: np.ndarray, labels: np.ndarray) -> tuple[str, str, str]:
    """Intersection over union of pictures, of all places together, and the visible face's share that is masked."""
    hidden, seen = labels == OCCLUDER, labels == FACE
    right = (masked & hidden).sum(axis=(1, 2))
    either = (hidden | (masked & seen)).sum(axis=(1, 2))
    wrong = (masked & seen).sum() / seen.sum()
    return f"{np.mean(right / either):.3f}", f"{right.sum() / either.sum():.3f}", f"{wrong:.2%}"


if __name__ == "__main__":
    app.run(main)
