"""Sheets of pictures that show which faces were missed, and what was taken for one."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from fml_jax.evaluation.detection import MIN_SCORE, STAGES, FoundFace, Judged
from fml_jax.evaluation.reference_faces import Box

_SIZE = 200  # pixels of a picture
_LINE = 16
_COLUMNS = 8
_MARGIN = 0.8  # box sides that are shown on each side of a box
_REFERENCE, _ACCEPTED, _REJECTED = (0, 200, 0), (255, 0, 0), (255, 160, 0)  # colours of boxes


def failure_sheet(results: Sequence[Judged], most: int = 64) -> UInt8[np.ndarray, "H W 3"] | None:
    """Faces that did not pass all stages, then false faces, each in its surroundings.

    Reference boxes are green, accepted boxes red, rejected ones orange with their scores.

    Returns:
      None where nothing failed.
    """
    missed = [
        _cell(each, face.box, f"not {STAGES[stage]}", each.picture.name)
        for each in results
        for face, stage in zip(each.picture.faces, each.stages, strict=True)
        if stage < len(STAGES)
    ]
    false = [_cell(each, face.box, "false", each.picture.name) for each in results for face in each.false]
    return sheet((missed + false)[:most])


def whole_pictures(results: Sequence[Judged]) -> UInt8[np.ndarray, "H W 3"] | None:
    """All pictures with all boxes, whatever was found."""
    cells = []
    for each in results:
        height, width = each.picture.rgb.shape[:2]
        side = max(height, width)
        x, y = (width - side) / 2, (height - side) / 2
        cells.append(_cell(each, (x, y, x + side, y + side), "", each.picture.name, margin=0.0))
    return sheet(cells)


def sheet(cells: Sequence[UInt8[np.ndarray, "h w 3"]]) -> UInt8[np.ndarray, "H W 3"] | None:
    """Cells of one size in rows."""
    if not cells:
        return None
    columns = min(_COLUMNS, len(cells))
    blank = np.full_like(cells[0], 255)
    filled = [*cells, *[blank] * (-len(cells) % columns)]
    rows = [np.concatenate(filled[k : k + columns], axis=1) for k in range(0, len(filled), columns)]
    return np.concatenate(rows)


def _cell(result: Judged, box: Box, *lines: str, margin: float = _MARGIN) -> UInt8[np.ndarray, "h w 3"]:
    rgb = result.picture.rgb
    side = (1 + 2 * margin) * max(box[2] - box[0], box[3] - box[1])
    scale = _SIZE / side
    corner = np.array([box[0] + box[2], box[1] + box[3]]) / 2 - side / 2
    affine = np.column_stack([np.eye(2) * scale, -corner * scale])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.warpAffine(rgb, affine, (_SIZE, _SIZE), flags=interpolation, borderValue=(255, 255, 255))
    for face in result.picture.faces:
        _draw(picture, face.box, affine, _REFERENCE)
    for found in result.found:
        accepted = found.score >= MIN_SCORE
        _draw(picture, found.box, affine, _ACCEPTED if accepted else _REJECTED, found)
    text = np.full((_LINE * len(lines) + 2, _SIZE, 3), 255, np.uint8)
    for k, line in enumerate(lines):
        plain = line.replace("°", " deg").encode("ascii", "replace").decode()
        cv2.putText(
            text, plain[:34], (2, _LINE * (k + 1) - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA
        )
    return np.pad(np.concatenate([picture, text]), ((0, 3), (0, 3), (0, 0)), constant_values=255)


def _draw(picture, box: Box, affine, colour, found: FoundFace | None = None) -> None:
    start, end = (
        np.round(affine[:, :2] @ np.array(corner) + affine[:, 2]).astype(int) for corner in (box[:2], box[2:])
    )
    cv2.rectangle(picture, start.tolist(), end.tolist(), colour, 1)
    if found is not None:
        note = f"{found.score:.2f} {found.roll:.0f}"
        place = np.clip(start + [2, 12], [0, 12], _SIZE - 4).tolist()
        cv2.putText(picture, note, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
