"""Table "optimisation": the same energy (eq. 6 of the base level) minimised from the network's answer and without it.

Regression answers at once; optimisation needs a start and time. All descents of a photo have the same energy,
landmarks, optimiser and number of iterations. On renders, whose shape is known, a lower energy is set beside the error
of the shape.
"""

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from fml_jax.codes import FaceCode, code_from_network, network_from_code, neutral_code
from fml_jax.evaluation.consistency_table import central_face
from fml_jax.evaluation.figures import courses, stacked
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.metrics import geometry_error
from fml_jax.evaluation.photo_sets import held_out_photos
from fml_jax.evaluation.reference_faces import reference_face
from fml_jax.evaluation.table import Part, Table
from fml_jax.face_model.base import BaseModel, geometry
from fml_jax.fitting.colours import fit_colours
from fml_jax.fitting.energy import STEPS, WEIGHTS, descent
from fml_jax.fitting.landmarks import fit_landmarks
from fml_jax.losses import Observation, base_energy
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.reconstruction.refinement import fitting_model, landmark_model, observation_of
from fml_jax.synthetic.expressions import ExpressionUnits, expression_units
from fml_jax.synthetic.rendering import Style, render_synthetic

NAME = "optimisation"
SEED = 41  # of the rendered people
ITERATIONS = (0, 3, 10, 30, 100, STEPS - 1)  # that are measured

NETWORK, POSED, MEAN = "the network's answer", "the mean face, fitted to landmarks and light", "the mean face"
PEOPLE = 24  # and photos, without --count
_STYLE = Style(kinds=())  # nothing before the face
_SMALLEST_RATIO = 1.001  # of energies that count as reached


class Known(NamedTuple):
    """A face that is fitted, and its true shape where that is known."""

    face: Reconstruction
    seconds: float  # that the network took
    vertices: Float[np.ndarray, "N 3"] | None = None  # at detail "face", mm


class Descents:
    """Measures photos by their paths, and rendered people by their numbers."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @cached_property
    def _units(self) -> ExpressionUnits:
        return expression_units(self._job.reconstructor.model)

    def __call__(self, item: Path | int) -> Row | None:
        """Numbers at `ITERATIONS`, from each start; None where no face is found."""
        known = self._rendered(item) if isinstance(item, int) else self._photographed(item)
        if known is None:
            return None
        observation, model = observation_of(known.face), fitting_model(known.face.model)
        descents = {}
        for name, (code, seconds) in self._starts(known, observation, model).items():
            path = timed(lambda code=code: course(model, code, observation))
            numbers = {each: values.tolist() for each, values in path.value.terms.items()}
            if known.vertices is not None:
                numbers["shape, mm"] = _shape_errors(model, path.value.codes, known.vertices)
            descents[name] = {"seconds of the start": seconds, "seconds": path.seconds, **numbers}
        group = "photos" if known.vertices is None else "renders"
        return {"photo": str(item), "group": group, "descents": descents}

    def _photographed(self, path: Path) -> Known | None:
        first = central_face(self._job, path)
        if first is None:
            return None
        again = timed(lambda: self._job.reconstructor(first.photo, [tuple(first.box.tolist())])[0])
        return Known(again.value, again.seconds)

    def _rendered(self, number: int) -> Known:
        reconstructor = self._job.reconstructor
        rng = np.random.default_rng([SEED, number])
        picture = render_synthetic(reconstructor.model, self._units, rng, style=_STYLE)
        box = reference_face(picture.landmarks).box
        found = timed(lambda: reconstructor(picture.crop, [box])[0])
        return Known(found.value, found.seconds, picture.truth.vertices)

    def _starts(self, known, observation, model) -> dict[str, tuple[FaceCode, float]]:
        """Where descents begin, and the seconds that it takes to get there."""
        mean = neutral_code(model.code_sizes)
        points = landmark_model(known.face.model)

        def posed():
            confidence = observation.confidence
            code = fit_landmarks(points, mean, observation.landmarks, confidence=confidence)
            return fit_colours(model, code, observation.image, mask=observation.mask)

        fitted = timed(posed)
        network = known.face.level("base").code
        return {NETWORK: (network, known.seconds), POSED: tuple(fitted), MEAN: (mean, 0.0)}


class Timed(NamedTuple):
    """A result, and the seconds that it took."""

    value: Any
    seconds: float


def timed(function: Any) -> Timed:
    """The result of a function without arguments, and the time of its second run: the first one may compile."""
    jax.block_until_ready(function())
    begin = time.perf_counter()
    value = jax.block_until_ready(function())
    return Timed(value, time.perf_counter() - begin)


class Course(NamedTuple):
    """A descent at `ITERATIONS`."""

    terms: dict[str, Float[np.ndarray, "K"]]
    codes: Float[np.ndarray, "K code"]  # as networks have them


def course(model: BaseModel, start: FaceCode, observation: Observation) -> Course:
    """Minimises E_total of the base level with refinement's weights, without its penalties about the network's answer.

    Returns:
      At `ITERATIONS`: the energy; E_photo, a mean RGB distance; and the root mean square of the landmarks' distances
      in pixels of the crop.
    """
    terms, codes = _course(model, start, observation, jnp.asarray(ITERATIONS))
    return Course({name: np.asarray(values, np.float64) for name, values in terms.items()}, np.asarray(codes))


@jax.jit
def _course(model, start, observation, iterations: Int[jax.Array, "K"]):
    def energy(raw):
        return base_energy(model, code_from_network(raw, model.code_sizes), observation, weights=WEIGHTS)

    _, iterates = descent(lambda raw: energy(raw)[0], network_from_code(start))
    chosen = iterates[iterations]
    total, terms = jax.lax.map(energy, chosen)
    return {"energy": total, "E_photo": terms["photo"], "landmarks, px": jnp.sqrt(terms["sparse"])}, chosen


def _shape_errors(model, raw, true) -> list[float]:
    codes = code_from_network(jnp.asarray(raw), model.code_sizes)
    members = np.asarray(model.regions["face"]) > 0
    shapes = [geometry(model, *each) for each in zip(codes.identity, codes.expression, strict=True)]
    return [geometry_error(np.asarray(shape)[None], true[None], members) for shape in shapes]


def optimisation_table(job: Job, photos: str | None) -> Table:
    """Minimises the energy of photos, or of people who are rendered here, and of these alone without photos.

    Args:
      photos: folder of photos, one folder per person.

    Raises:
      InputError: no photo of the split, or files cannot be written.
    """
    count = job.most or PEOPLE
    items: list[Path | int] = list(range(count))
    if photos is not None:
        items += held_out_photos(photos, job.split)[:count]
    return table_of(job.rows(NAME, seed=SEED, iterations=ITERATIONS).measured(items, Descents(job), unit="face"))


def table_of(rows: Sequence[Row]) -> Table:
    """The table of measured faces."""
    groups = {group: [row for row in rows if row["group"] == group] for group in ("renders", "photos")}
    groups = {group: each for group, each in groups.items() if each}
    parts = [part for group, each in groups.items() for part in (_courses_part(group, each), _reached(group, each))]
    sheets = [figure for group, each in groups.items() for figure in _figures(group, each)]
    note = (
        "The energy is E_total of the base level (eq. 6) with the weights of refinement, minimised by Adam. Numbers "
        "are those of one iterate. Seconds are medians and include the start's; the network's are those of one photo "
        "whose box is known. Shapes are compared after a similarity."
    )
    flat = [
        {
            "photo": row["photo"],
            "start": start,
            "iteration": iteration,
            **{name: values[k] for name, values in numbers.items() if isinstance(values, list)},
        }
        for row in rows
        for start, numbers in row["descents"].items()
        for k, iteration in enumerate(ITERATIONS)
    ]
    return Table(NAME, "Regression against optimisation", note, parts, flat, stacked(sheets) if sheets else None)


def _courses_part(group: str, rows: Sequence[Row]) -> Part:
    names, lines = _measures(rows), []
    for start in rows[0]["descents"]:
        seconds = _seconds(rows, start)
        for k, iteration in enumerate(ITERATIONS):
            means = [f"{np.mean([row['descents'][start][name][k] for row in rows]):.4g}" for name in names]
            lines.append((start, iteration, f"{seconds[k]:.2f}", *means))
    header = ("from", "iterations", "seconds", *names)
    return Part(f"{group}, means over {len(rows)} faces", header, lines)


def _reached(group: str, rows: Sequence[Row]) -> Part:
    """After how many of the measured iterations a descent without the network is where the network's answer began."""
    lines = []
    for name in _measures(rows):
        for start in (POSED, MEAN):
            first = [_first_within(row["descents"][start][name], row["descents"][NETWORK][name][0]) for row in rows]
            shares = [f"{100 * np.mean([each <= iteration for each in first]):.0f} %" for iteration in ITERATIONS]
            lines.append((name, start, *shares))
    header = ("", "from", *(f"{iteration}" for iteration in ITERATIONS))
    return Part(
        f"{group}: share of faces that are as good as the network's answer after so many iterations", header, lines
    )


def _first_within(values: Sequence[float], aim: float) -> float:
    reached = [iteration for iteration, value in zip(ITERATIONS, values, strict=True) if value <= _SMALLEST_RATIO * aim]
    return reached[0] if reached else np.inf


def _measures(rows) -> list[str]:
    return [name for name, values in rows[0]["descents"][NETWORK].items() if isinstance(values, list)]


def _seconds(rows: Sequence[Row], start: str) -> list[float]:
    """Seconds until each of `ITERATIONS`, medians over faces."""
    begin, whole = (
        np.median([row["descents"][start][name] for row in rows]) for name in ("seconds of the start", "seconds")
    )
    return [float(begin + whole * iteration / STEPS) for iteration in ITERATIONS]


def _figures(group: str, rows: Sequence[Row]) -> Iterator[np.ndarray]:
    for name in _measures(rows):
        lines = {
            start: (
                np.maximum(_seconds(rows, start), 1e-2).tolist(),
                [float(np.mean([row["descents"][start][name][k] for row in rows])) for k in range(len(ITERATIONS))],
            )
            for start in rows[0]["descents"]
        }
        yield courses(lines, "seconds", f"{name}, {group}")
