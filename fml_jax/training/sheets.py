"""Sheets of pictures, written while a network trains: its predictions for a few fixed crops, one row each."""

import operator
from collections.abc import Sequence
from pathlib import Path

import cv2
import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import UInt8

from fml_jax.face_model.base import BaseModel
from fml_jax.files import complete_or_absent
from fml_jax.image_formation.drawing import Paint, clay, draw, shown_on_photos
from fml_jax.image_formation.points import Points
from fml_jax.networks.multilevel import Network, level_points
from fml_jax.ops.images import unit_range
from fml_jax.training.config import Level
from fml_jax.training.sharding import placed, replicated

FOLDER = "sheets"
ROWS = 6
_SIZE = 200  # pixels of a picture
_GAP, _HEADER = 4, 26


class Sheets:
    """The sheets of one run; all of its processes must take part."""

    def __init__(
        self,
        network: Network,
        model: BaseModel,
        crops: UInt8[np.ndarray, "B 240 240 3"],
        *,
        mesh: Mesh,
        folder: Path | None,
    ) -> None:
        """
        Args:
          mesh: the devices.
          folder: None for a process that writes nothing.
        """
        self._model, self._crops, self._folder = model, crops, folder
        self._everywhere = replicated(mesh)

        def points(params, model, crops, level):
            return level_points(network, params, model, crops=unit_range(crops), level=level)

        self._points = jax.jit(points, static_argnames="level", out_shardings=self._everywhere)

    def write(self, step: int, params: dict, level: Level) -> None:
        """Writes FOLDER/step_000500.png, with the final level where `level` is "full"."""
        inputs = placed((self._model, self._crops), self._everywhere)
        levels = jax.device_get(self._points(params, *inputs, level=level))
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        png = cv2.imencode(".png", cv2.cvtColor(draw_sheet(self._model, self._crops, levels), cv2.COLOR_RGB2BGR))[1]
        with complete_or_absent(self._folder / f"step_{step:06d}.png") as partial:
            partial.write_bytes(png.tobytes())


def sheet_crops(held_out: Sequence[dict | None], training: dict) -> UInt8[np.ndarray, "B 240 240 3"]:
    """Crops for sheets: equally many of each held-out batch; without any, faces of a training batch."""
    found = [batch["crop"] for batch in held_out if batch is not None]
    if found:
        return np.concatenate([crops[: ROWS // len(found)] for crops in found])
    faces_first = np.argsort(-training["is_face"], kind="stable")
    return training["crop"][faces_first[:ROWS]]


def draw_sheet(
    model: BaseModel, crops: UInt8[np.ndarray, "B 240 240 3"], levels: dict[str, Points]
) -> UInt8[np.ndarray, "H W 3"]:
    """A row for each crop: the photo, each level drawn on it, then reflectance and geometry of the last level."""
    last = list(levels)[-1]
    titles = ["photo", *(f"{name} level" for name in levels), f"{last} reflectance", f"{last} geometry"]
    rows = [_row(model, crop, jax.tree.map(operator.itemgetter(k), levels)) for k, crop in enumerate(crops)]
    return np.concatenate([_header(titles), *rows])


def _row(model, crop, levels):
    photo = cv2.resize(crop, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    on_photo = dict(ground=photo / np.float32(255), opacity=shown_on_photos(model))
    pictures = [photo]
    for points in levels.values():
        paints = {
            "level": Paint(points.colours, **on_photo),
            "reflectance": Paint(points.reflectance),
            "geometry": Paint(clay(points.normals)),
        }
        drawn = draw(
            points.pixels, points.positions[:, 2], np.asarray(model.topology.triangles), paints=paints, size=_SIZE
        )
        pictures.append(drawn["level"])
    pictures += [drawn["reflectance"], drawn["geometry"]]
    gap = ((0, _GAP), (0, _GAP), (0, 0))
    return np.concatenate([np.pad(picture, gap, constant_values=255) for picture in pictures], axis=1)


def _header(titles):
    header = np.full((_HEADER, len(titles) * (_SIZE + _GAP), 3), 255, np.uint8)
    for k, title in enumerate(titles):
        place = k * (_SIZE + _GAP) + 4, _HEADER - 8
        cv2.putText(header, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.48, (60, 60, 60), 1, cv2.LINE_AA)
    return header
