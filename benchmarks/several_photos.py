"""Measures how much better a rendered person is known from several photos than from one.

    python -m benchmarks.several_photos [--people=12] [--refine]

Each person is rendered eight times, with another pose, expression, light, framing and hair each time. For 1, 2, 4 and 8
photos at a time it prints the mean distance, in mm over the face, of the neutral face's vertices from the true ones
after a rigid alignment and after one that also scales, and the mean RGB distance of the reflectance.
"""

import numpy as np
from absl import app, flags
from tqdm import tqdm

from fml_jax.codes import unflatten_code
from fml_jax.evaluation.metrics import geometry_error
from fml_jax.evaluation.reference_faces import reference_face
from fml_jax.evaluation.surfaces import reflectance_error
from fml_jax.evaluation.tables import markdown
from fml_jax.reconstruction import Reconstructor
from fml_jax.synthetic.expressions import expression_units
from fml_jax.synthetic.rendering import Style, render_synthetic

_PEOPLE = flags.DEFINE_integer("people", 12, "Rendered people.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 2026, "Another seed makes other people.")
_REFINE = flags.DEFINE_bool("refine", False, "Also refine each set of photos (a minute or two a person).")

COUNTS = (1, 2, 4, 8)
STYLE = Style(kinds=())  # nothing before the face


def main(_):
    reconstructor = Reconstructor.default()
    units = expression_units(reconstructor.model)
    errors: dict[str, dict[int, list]] = {}
    for number in tqdm(range(_PEOPLE.value), unit="person"):
        photos = rendered_photos(reconstructor.model, units, np.random.default_rng([_SEED.value, number]))
        for count in COUNTS:
            for first in range(0, max(COUNTS), count):
                part = photos[first : first + count]
                for name, found in errors_of(reconstructor, part).items():
                    errors.setdefault(name, {}).setdefault(count, []).append(found)
    rows = []
    for name, by_count in errors.items():
        means = {count: np.mean(values) for count, values in by_count.items()}
        rows.append((name, *(f"{mean:.3f}" for mean in means.values()), f"{means[8] / means[1]:.3f}"))
    print(f"{_PEOPLE.value} people\n")
    print(markdown(["photos", *map(str, COUNTS), "8 of 1"], rows))


def rendered_photos(model, units, rng) -> list:
    """Eight renders of one person."""
    first = render_synthetic(model, units, rng, style=STYLE)
    like = unflatten_code(first.code, model.code_sizes)
    return [first, *(render_synthetic(model, units, rng, style=STYLE, like=like) for _ in range(max(COUNTS) - 1))]


def errors_of(reconstructor, photos) -> dict[str, float]:
    """Errors of one person from some photos, by name."""
    crops, boxes = [each.crop for each in photos], [[reference_face(each.landmarks).box] for each in photos]
    found: dict[str, float] = {}
    for refine in (False, True) if _REFINE.value else (False,):
        person = reconstructor.person(crops, boxes, refine=refine)
        how = "refined" if refine else "joined"
        found |= {f"{name}, {how}": value for name, value in person_errors(person, photos[0].code).items()}
    return found


def person_errors(person, true_code) -> dict[str, float]:
    """Errors of a `Person` against a flat code."""
    model = person[0].model
    members = np.asarray(model.regions["face"])
    true = unflatten_code(true_code, model.code_sizes)
    neutral = np.asarray(model.mean) + np.tensordot(np.asarray(true.identity), np.asarray(model.identity), 1)
    skin = np.asarray(model.reflectance_mean) + np.tensordot(true.reflectance, np.asarray(model.reflectance), 1)
    pair = person.neutral[None], neutral[None], members
    return {
        "mm, rigid": geometry_error(*pair, scaled=False),
        "mm, scaled": geometry_error(*pair),
        "RGB": reflectance_error(person[0].reflectance[None], skin[None], members),
    }


if __name__ == "__main__":
    app.run(main)
