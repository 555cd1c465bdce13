"""A page that shows whether an import is right: mean, first modes, landmarks, contour and masks."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.surfaces import vertex_normals
from fml_jax.files import complete_or_absent
from fml_jax.image_formation.parts import joined_rows, joined_triangles, parts_of
from fml_jax.image_formation.plain_pictures import FIELD, View, render, sheet
from fml_jax.pages import page

_SIZE, _SHOWN, _EXTREME = 240, 4, 2.5  # pixels; modes of a kind; standard deviations
_CLAY = 0.72
_COLUMNS = 5
_STYLE = "img{max-width:100%} h2{margin-top:1.5em} li{margin:.2em 0}"


def write_import_page(path: Path, model: BaseModel, report: Sequence[str]) -> None:
    """Writes the HTML page, which needs no other file.

    Args:
      report: lines of text.
    """
    pictures = import_pictures(model)
    parts = ["<ul>", *(f"<li>{html.escape(line)}</li>" for line in report), "</ul>"]
    for title, picture in pictures.items():
        content = base64.b64encode(cv2.imencode(".png", picture[..., ::-1])[1].tobytes()).decode()
        parts.append(
            f'<h2>{html.escape(title)}</h2><img alt="{html.escape(title)}" src="data:image/png;base64,{content}">'
        )
    text = page(title=model.name, heading=f"Imported: {model.name}", content="\n".join(parts), style=_STYLE)
    with complete_or_absent(path) as partial:
        partial.write_text(text, "utf-8")


def import_pictures(model: BaseModel) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
    """Sheets of pictures by title."""
    mean, colours = np.asarray(model.mean), np.clip(np.asarray(model.reflectance_mean), 0, 1)
    clay = np.full_like(mean, _CLAY)
    yaws = (-60, -30, 0, 30, 60)
    sheets = {
        "Mean face in its reflectance": _sheet([_drawn(model, mean, colours, yaw) for yaw in yaws]),
        "Mean face alone": _sheet([_drawn(model, mean, clay, yaw) for yaw in yaws]),
        "MediaPipe's 478 landmarks (white), iBUG's 51 (red), the contour by yaw (blue), its candidates (green)": _sheet(
            [_with_landmarks(model, clay, yaw) for yaw in yaws]
        ),
        f"Masks: {', '.join(model.regions)}": _sheet(
            [_drawn(model, mean, _tinted(np.asarray(mask)), 20) for mask in model.regions.values()]
        ),
    }
    for kind in ("identity", "expression"):
        sheets[f"First modes of {kind}, ±{_EXTREME} standard deviations"] = _sheet(_of_modes(model, kind, clay))
    tones = [colours + sign * _EXTREME * mode for mode, sign in _extremes(np.asarray(model.reflectance))]
    sheets[f"First modes of reflectance, ±{_EXTREME} standard deviations"] = _sheet(
        [_drawn(model, mean, np.clip(tone, 0, 1), 15) for tone in tones]
    )
    return sheets


def _of_modes(model: BaseModel, kind: str, clay: np.ndarray) -> list[np.ndarray]:
    """Faces, and the teeth in them, that the first modes of a kind make."""
    triangles, mesh, modes, colours = _triangles(model), np.asarray(model.mean), np.asarray(getattr(model, kind)), clay
    parts = parts_of(model)
    if parts is not None:
        triangles = joined_triangles(len(mesh), triangles, parts)
        mesh = joined_rows(mesh, parts.mean)
        modes = np.concatenate([modes[:_SHOWN], np.asarray(getattr(parts, kind))[:_SHOWN]], axis=1)
        colours = joined_rows(clay, np.asarray(parts.shade)[:, None] * np.asarray(parts.reflectance))
    shapes = [_centred(model, mesh + sign * _EXTREME * mode) for mode, sign in _extremes(modes)]
    return [render(shape, triangles, colours, view=View(15, 0, _SIZE)).image for shape in shapes]


def _triangles(model: BaseModel) -> np.ndarray:
    return np.asarray(model.topology.triangles)


def _extremes(modes):
    return [(mode, sign) for mode in modes[:_SHOWN] for sign in (1, -1)]


def _sheet(pictures):
    blank = np.full_like(pictures[0], 255)
    columns = min(_COLUMNS, len(pictures)) if len(pictures) != 2 * _SHOWN else _SHOWN
    return sheet([*pictures, *[blank] * (-len(pictures) % columns)], columns)


def _drawn(model: BaseModel, vertices: np.ndarray, colours: np.ndarray, yaw: float) -> np.ndarray:
    return render(_centred(model, vertices), _triangles(model), colours, view=View(yaw, 0, _SIZE)).image


def _centred(model: BaseModel, vertices: np.ndarray) -> np.ndarray:
    """The face in the picture's middle, and at most as large as the picture."""
    used = np.asarray(model.mean)[np.unique(_triangles(model))]
    low, high = used.min(0), used.max(0)
    return (vertices - (low + high) / 2) * min(1.0, 0.85 * FIELD / (high - low).max())


def _tinted(mask: np.ndarray) -> Float[np.ndarray, "N 3"]:
    return np.where(mask[:, None], (0.85, 0.3, 0.2), (_CLAY, _CLAY, _CLAY))


def _with_landmarks(model: BaseModel, clay: np.ndarray, yaw: float) -> np.ndarray:
    view, marks = View(yaw, 0, _SIZE), model.landmarks
    vertices = _centred(model, np.asarray(model.mean, np.float64))
    triangles = _triangles(model)
    picture = render(vertices, triangles, clay, view=view).image.copy()
    fixed = _points(vertices, marks.fixed_vertices, marks.fixed_weights)
    row = int(np.abs(np.asarray(marks.contour_yaws) - yaw).argmin())
    contour = _points(vertices, marks.contour_vertices[row], marks.contour_weights[row])
    facing = (vertex_normals(vertices, triangles) @ view.rotation().T)[:, 2]
    candidates = np.asarray(marks.candidates)[facing[np.asarray(marks.candidates)] > 0]
    seen = facing[np.asarray(marks.fixed_vertices)[:, 0]] > 0
    inner = np.zeros(len(fixed), bool)
    inner[np.asarray(marks.ibug_from_mediapipe)[17:]] = True
    for points, colour in (
        (vertices[candidates], (60, 170, 60)),
        (fixed[seen & ~inner], (255, 255, 255)),
        (fixed[seen & inner], (220, 30, 30)),
        (contour, (40, 60, 230)),
    ):
        for x, y in np.rint(view.project(points)[0]).astype(int).tolist():
            cv2.circle(picture, (x, y), 1, colour, -1)
    return picture


def _points(vertices, corners, weights):
    return (vertices[np.asarray(corners)] * np.asarray(weights)[..., None]).sum(-2)
