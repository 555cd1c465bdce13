"""Table "reflectance": the skin of rendered people, which is known, and whether a person keeps it under another light.

The paper renders faces with 80 modes of reflectance, of which its base level has 40, so that the final level has
something to recover (supplement, section 4 and figure 8). Here the last half of the base level's modes is set to zero
for one of two groups of rows. The network itself is not trained anew.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from fml_jax.codes import unflatten_code
from fml_jax.errors import InputError
from fml_jax.evaluation.consistency_table import central_face
from fml_jax.evaluation.figures import caption, histograms, stacked, write_picture
from fml_jax.evaluation.identity import PAIRS_HEADER, colour_distances, pairs_of
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.levels import BASE, FINAL
from fml_jax.evaluation.photo_sets import held_out_photos, with_company
from fml_jax.evaluation.reference_faces import reference_face
from fml_jax.evaluation.scans import compared
from fml_jax.evaluation.table import Part, Table
from fml_jax.evaluation.tables import SUMMARY_HEADER, summary_rows
from fml_jax.face_model.base import BaseModel
from fml_jax.files import output_folder
from fml_jax.image_formation.plain_pictures import View, render
from fml_jax.photos.reading import read_photo
from fml_jax.reconstruction.reconstruction import Reconstruction
from fml_jax.reconstruction.reconstructor import Reconstructor
from fml_jax.synthetic.expressions import ExpressionUnits, expression_units
from fml_jax.synthetic.rendering import Style, render_synthetic

NAME = "reflectance"
SEED = 40  # of the rendered people
PEOPLE = 100  # and photos, without --count
_STYLE = Style(kinds=())  # nothing before the face
_PICTURES = 2  # of each person: another light, pose, expression and framing
_THINNING = 16  # every so many vertices of the face are compared between people
_REACH = 0.6  # RGB, of the histogram
_CELL = 200  # pixels
_SHOWN = 6  # people

TRUTH, MEAN, OWN = "the truth", "mean reflectance", "the truth's part in the modes"


class RenderedPeople:
    """Measures rendered people by their numbers; the same number is always the same person."""

    def __init__(self, job: Job, strips: Path) -> None:
        """`strips` is the folder for pictures of the first people."""
        self._job, self._strips = job, strips

    @cached_property
    def _half(self) -> Reconstructor:
        model = self._job.reconstructor.model
        kept = np.arange(len(model.reflectance)) < len(model.reflectance) // 2
        return self._job.reconstructor.with_model(model.replace(reflectance=model.reflectance * kept[:, None, None]))

    @cached_property
    def _units(self) -> ExpressionUnits:
        return expression_units(self._job.reconstructor.model)

    @cached_property
    def _pixels(self) -> csr_matrix:
        return frontal_pixels(self._job.reconstructor.model)

    def __call__(self, number: int) -> Row:
        """Errors of both groups, and points of the skin in each picture."""
        model, rng = self._job.reconstructor.model, np.random.default_rng([SEED, number])
        first = render_synthetic(model, self._units, rng, style=_STYLE)
        code = unflatten_code(first.code, model.code_sizes)
        others = [render_synthetic(model, self._units, rng, style=_STYLE, like=code) for _ in range(_PICTURES - 1)]
        true = _skin(model, code.reflectance)
        errors, shown = {}, {TRUTH: true}
        points: list[dict[str, list]] = []
        for reconstructor in (self._job.reconstructor, self._half):
            found = [_levels(reconstructor, picture.crop, picture.landmarks) for picture in (first, *others)]
            skins = {MEAN: [_skin(model, 0 * code.reflectance)], OWN: [_skin(reconstructor.model, code.reflectance)]}
            skins |= {level: [each[level] for each in found] for level in found[0]}
            group = _modes(reconstructor.model)
            errors[group] = {name: self._error(each, true) for name, each in skins.items()}
            shown |= {f"{name}, {group}": skin for name, skin in found[0].items()}
            points = points or [{name: thinned(model, skin) for name, skin in each.items()} for each in found]
        if number < _SHOWN:
            write_picture(self._strips / f"{number:03d}.png", _strip(model, first.crop, shown))
        return {"person": number, "errors": errors, "points": points, "truth": thinned(model, true)}

    def _error(self, found, true) -> float:
        """The mean over pictures of a person."""
        return float(np.mean([pixel_error(self._pixels, each, true) for each in found]))


class Skins:
    """Measures photos: points of the face's skin at each level."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, path: Path) -> Row | None:
        """The photo's person and the points; None where no face is found."""
        face = central_face(self._job, path)
        if face is None:
            return None
        points = {name: thinned(face.model, skin) for name, skin in _skins(face).items()}
        return {"photo": str(path), "person": path.parent.name, "points": points}


def reflectance_table(job: Job, photos: str | None) -> Table:
    """Measures rendered people, and photos of people who have several.

    Args:
      photos: folder of photos, one folder per person; None: renders alone.

    Raises:
      InputError: no photo of the split, or files cannot be written.
    """
    kept, count = job.rows(NAME, seed=SEED), job.most or PEOPLE
    strips = output_folder(kept.path.with_suffix("") / "strips")
    people = kept.measured(range(count), RenderedPeople(job, strips), unit="person", workers=job.workers)
    of_photos: list[Row] = []
    if photos is not None:
        several = with_company(held_out_photos(photos, job.split))[:count]
        if not several:
            raise InputError(f"--photos={photos}: nobody of the {job.split} split has several photos")
        of_photos = job.rows(f"{NAME}_photos").measured(several, Skins(job), workers=job.workers)
    return table_of(people, of_photos, [read_photo(path) for path in sorted(strips.glob("*.png"))])


def table_of(people: Sequence[Row], of_photos: Sequence[Row], pictures: Sequence[np.ndarray]) -> Table:
    """The table of measured people and photos.

    Args:
      pictures: strips of the sheet.
    """
    parts = [_errors_part(group, people) for group in people[0]["errors"]]
    names = [row["person"] for row in people for _ in row["points"]]
    rendered = {TRUTH: [row["truth"] for row in people for _ in row["points"]]}
    rendered |= _by_level([points for row in people for points in row["points"]])
    lines, shown = [], {}
    groups = [("renders", rendered, names)] if names else []
    if of_photos:
        groups.append(("photos", _by_level([row["points"] for row in of_photos]), [row["person"] for row in of_photos]))
    for group, skins, whose in groups:
        for level, each in skins.items():
            pairs = pairs_of(colour_distances(np.array(each)), whose)
            if len(pairs.same) and len(pairs.different):
                lines.append((group, level, len(set(whose)), len(whose), *pairs.cells))
                if level in (FINAL, BASE):
                    shown[f"{group}, {level}, one person"] = pairs.same.tolist()
                    shown[f"{group}, {level}, two people"] = pairs.different.tolist()
    header = ("", "level", "people", "pictures", *PAIRS_HEADER)
    parts.append(Part("One person under two lights beside two people, RGB distance", header, lines))
    sheets = [histograms(shown, "RGB distance of two pictures' reflectance", reach=_REACH)] if shown else []
    note = (
        "Errors are RGB distances between pictures of the true and the predicted reflectance on the mean face, from "
        "the front and without light, after the mean difference is taken away, as in the paper. Two pictures of a "
        "rendered person differ in light, pose, expression and framing; their distances keep the mean."
    )
    flat = [
        {"person": row["person"], **{f"{group}, {name}": value for name, value in errors.items()}}
        for row in people
        for group, errors in row["errors"].items()
    ]
    photos = [{name: row[name] for name in ("photo", "person")} for row in of_photos]
    return Table(NAME, "Reflectance", note, parts, [*flat, *photos], stacked([*sheets, *pictures]) if sheets else None)


def _errors_part(group: str, people: Sequence[Row]) -> Part:
    levels = list(people[0]["errors"][group])
    columns = {level: [row["errors"][group][level] for row in people] for level in levels}
    lines: list[tuple[Any, ...]] = summary_rows(columns)
    if FINAL in columns:
        lines.append(("final : base", len(people), f"{np.mean(columns[FINAL]) / np.mean(columns[BASE]):.3f}", "", ""))
    return Part(f"Renders of all modes, base level with {group}: RGB distance", SUMMARY_HEADER, lines)


def _by_level(points: Sequence[dict[str, list]]) -> dict[str, list]:
    return {level: [each[level] for each in points] for level in (points[0] if points else ())}


def frontal_pixels(model: BaseModel) -> csr_matrix:
    """The weights [P, N] of vertices in the pixels of a frontal picture of the mean face, without eyes and the rest."""
    triangles, members = np.asarray(model.topology.triangles), compared(model)
    mean = np.asarray(model.mean, np.float64)
    seen = render(mean, triangles, np.ones(mean.shape), view=View(size=_CELL))
    corners, weights = triangles[seen.triangle_index], seen.barycentric
    inside = (seen.triangle_index >= 0) & members[corners].all(-1)
    corners, weights = corners[inside], weights[inside]
    rows = np.repeat(np.arange(len(corners)), 3)
    return csr_matrix((weights.ravel(), (rows, corners.ravel())), (len(corners), len(mean)))


def pixel_error(pixels: csr_matrix, found: Float[np.ndarray, "N 3"], true: Float[np.ndarray, "N 3"]) -> float:
    """Mean RGB distance over the pixels of `frontal_pixels`, without the mean difference."""
    gaps = pixels @ np.asarray(found - true, np.float64)
    return float(np.linalg.norm(gaps - gaps.mean(axis=0), axis=1).mean())


def thinned(model: BaseModel, skin: Float[np.ndarray, "N 3"]) -> list[list[float]]:
    """Some of the face's vertices, rounded, as rows are kept."""
    return np.round(np.asarray(skin, float)[np.flatnonzero(compared(model))[::_THINNING]], 3).tolist()


def _skin(model, beta) -> np.ndarray:
    """Eq. 4."""
    return np.asarray(model.reflectance_mean) + np.tensordot(np.asarray(beta), np.asarray(model.reflectance), 1)


def _modes(model) -> str:
    modes = np.asarray(model.reflectance)
    return f"{np.count_nonzero(modes.any(axis=(1, 2)))} of {len(modes)} modes"


def _levels(reconstructor, crop, landmarks) -> dict[str, np.ndarray]:
    return dict(_skins(reconstructor(crop, [reference_face(landmarks).box])[0]))


def _skins(face: Reconstruction) -> dict[str, np.ndarray]:
    skins = {BASE: face.level("base").reflectance}
    return skins if face.final_code is None else skins | {FINAL: face.reflectance}


def _strip(model, crop, skins) -> np.ndarray:
    """A render, then reflectances on the mean face."""
    cells = {"render": cv2.resize(crop, (_CELL, _CELL), interpolation=cv2.INTER_AREA)}
    cells |= {name: _on_mean_face(model, skin) for name, skin in skins.items()}
    titled = [np.concatenate([cell, caption(name, _CELL)]) for name, cell in cells.items()]
    return np.concatenate(titled, axis=1)


def _on_mean_face(model, skin) -> np.ndarray:
    triangles = np.asarray(model.topology.triangles)
    return render(np.asarray(model.mean), triangles, skin, view=View(size=_CELL), ambient=1.0, background=1.0).image
