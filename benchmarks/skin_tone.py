"""Measures predicted skin tones: by groups of people, and how much they follow the exposure of the photo.

    python -m benchmarks.skin_tone --photos=UTKFACE [--count=70]

Photos are files named age_sex_group_….jpg, as UTKFace names them; groups are 0 White, 1 Black, 2 Asian, 3 Indian.
Prints the mean reflectance of the skin of adults by group, its change when each photo is half as bright, and how well
light and dark skin are told apart. `--weights` measures another network.
"""

from pathlib import Path

import numpy as np
from absl import app, flags
from tqdm import tqdm

from fml_jax.errors import InputError
from fml_jax.evaluation.tables import markdown
from fml_jax.photos.reading import read_photo
from fml_jax.reconstruction import Reconstructor

_PHOTOS = flags.DEFINE_string("photos", None, "Folder of photos.", required=True)
_COUNT = flags.DEFINE_integer("count", 70, "Photos of each group.", lower_bound=2)
_WEIGHTS = flags.DEFINE_string("weights", None, "A weights file; by default that of the package.")

GROUPS = {0: "White", 1: "Black", 2: "Asian", 3: "Indian"}
_ADULT = 16
_MARGIN = 60  # pixels: faces fill these photos


def main(_):
    reconstructor = Reconstructor(_WEIGHTS.value)
    skin = np.asarray(reconstructor.model.regions["skin"], bool)
    tones = {}
    for number, group in GROUPS.items():
        found = [tone_of(reconstructor, skin, path) for path in tqdm(chosen(number), unit="photo", desc=group)]
        tones[group] = np.array([each for each in found if each is not None])
    rows = [
        (group, len(each), f"{each[:, 0].mean():.3f}", f"{each[:, 0].std():.3f}", f"{np.diff(each).mean():+.3f}")
        for group, each in tones.items()
    ]
    print(markdown(["group", "photos", "mean reflectance of the skin", "SD", "with half the exposure"], rows))
    light, dark = (tones[group][:, 0] for group in ("White", "Black"))
    print(f"\nROC area of White against Black: {(light[:, None] > dark).mean():.2f}")


def chosen(group: int) -> list[Path]:
    """Photos of adults of a group, the same ones in each run."""
    named = [(path.name.split("_"), path) for path in sorted(Path(_PHOTOS.value).glob("*.jpg"))]
    adults = [path for name, path in named if len(name) == 4 and name[2] == str(group) and int(name[0]) >= _ADULT]
    order = np.random.default_rng(group).permutation(len(adults))
    return [adults[k] for k in order[: _COUNT.value]]


def tone_of(reconstructor: Reconstructor, skin: np.ndarray, path: Path) -> tuple[float, float] | None:
    """The mean reflectance of the skin of a photo's largest face, as it is and half as bright; None without a face."""
    photo = np.pad(read_photo(path), ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), mode="reflect")
    try:
        face = reconstructor(photo)[0]
        darker = reconstructor((photo * 0.5).astype(np.uint8), boxes=[face.box])[0]
    except InputError:
        return None
    one, other = (float(each.reflectance[skin].mean()) for each in (face, darker))
    return one, other


if __name__ == "__main__":
    app.run(main)
