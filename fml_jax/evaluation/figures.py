"""Figures of tables as pictures: histograms, heat maps and their scale, captions."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fml_jax.files import complete_or_absent

_COLOURS = matplotlib.colormaps["inferno"]
_UNKNOWN = 0.6  # grey of vertices without a value
_BINS = 30
_STYLES = ("-", "--", ":", "-.")  # of curves, so that those below others are seen
_LINE = 18  # pixels of a caption


class Curve(NamedTuple):
    """How many values are at most so large."""

    values: Float[np.ndarray, "P"]  # ascending
    percent: Float[np.ndarray, "P"]


def histograms(
    columns: Mapping[str, Sequence[float]], label: str, *, reach: float, size: tuple[float, float] = (7.0, 3.2)
) -> UInt8[np.ndarray, "H W 3"]:
    """How values are distributed, a line for each column, with the mean behind its name.

    Args:
      label: of the horizontal axis, from 0 to `reach`; larger values count in the last bin.
      size: inches of 110 pixels.
    """
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for name, values in columns.items():
        clipped = np.clip(np.asarray(values, float), 0, reach)
        axes.hist(
            clipped,
            bins=np.linspace(0, reach, _BINS + 1).tolist(),
            weights=np.full(len(clipped), 100 / len(clipped)),
            histtype="step",
            linewidth=1.6,
            label=f"{name}: mean {np.mean(values):.3g}",
        )
    axes.set_xlabel(label)
    axes.set_ylabel("%")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return as_picture(figure)


def cumulative(values: Float[np.ndarray, "N"]) -> Curve:
    """The percentage of values that are at most so large, at each of the values."""
    return Curve(np.sort(values), 100 * np.arange(1, len(values) + 1) / len(values))


def curves(
    lines: Mapping[str, Curve], label: str, height: str, *, reach: float, size: tuple[float, float] = (7.0, 3.6)
) -> UInt8[np.ndarray, "H W 3"]:
    """Cumulative curves in one figure.

    Args:
      label, height: of the axes, from 0 to `reach` and from 0 to 100.
      size: inches of 110 pixels.
    """
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.add_subplot(xlim=(0, reach), ylim=(0, 100), xlabel=label, ylabel=height)
    for (name, curve), style in zip(lines.items(), itertools.cycle(_STYLES), strict=False):
        steps = [0, *curve.values, max(reach, curve.values[-1])], [0, *curve.percent, 100]
        axes.plot(*steps, linewidth=1.6, linestyle=style, drawstyle="steps-post", label=name)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return as_picture(figure)


def courses(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    label: str,
    height: str,
    *,
    size: tuple[float, float] = (7.0, 3.2),
) -> UInt8[np.ndarray, "H W 3"]:
    """How numbers change with time: a line of points (x, y) for each name, on logarithmic axes.

    Args:
      label, height: of the axes.
      size: inches of 110 pixels.
    """
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log", xlabel=label, ylabel=height)
    for name, (x, y) in lines.items():
        axes.plot(x, y, marker="o", markersize=3, linewidth=1.6, label=name)
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return as_picture(figure)


def as_picture(figure: Figure) -> UInt8[np.ndarray, "H W 3"]:
    """A figure, drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def heat_colours(values: Float[np.ndarray, "N"], most: float) -> Float[np.ndarray, "N 3"]:
    """RGB in [0, 1] of values from 0 (black) to `most` and above (pale yellow); grey where a value is NaN."""
    colours = _COLOURS(np.clip(np.nan_to_num(values) / most, 0, 1))[:, :3].astype(np.float64)
    return np.where(np.isnan(values)[:, None], _UNKNOWN, colours)


def heat_scale(most: float, unit: str, width: int) -> UInt8[np.ndarray, "h width 3"]:
    """A strip that explains `heat_colours`."""
    strip = _COLOURS(np.broadcast_to(np.linspace(0, 1, width), (_LINE, width)))[..., :3]
    picture = (255 * strip + 0.5).astype(np.uint8)
    return np.concatenate([picture, caption(f"0 ... {most:g} {unit} and more", width)])


def caption(text: str, width: int) -> UInt8[np.ndarray, "h width 3"]:
    """A line of text as a strip of a picture; other characters than ASCII become question marks."""
    strip = np.full((_LINE, width, 3), 255, np.uint8)
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(strip, plain, (3, _LINE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def write_picture(path: Path, rgb: UInt8[np.ndarray, "H W 3"]) -> None:
    """Writes a PNG file.

    Raises:
      InputError: it cannot be written.
    """
    with complete_or_absent(path) as partial:
        partial.write_bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())


def stacked(pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> UInt8[np.ndarray, "H W 3"]:
    """Pictures of different sizes below each other, on white."""
    width = max(picture.shape[1] for picture in pictures)
    padded = [np.pad(each, ((0, 6), (0, width - each.shape[1]), (0, 0)), constant_values=255) for each in pictures]
    return np.concatenate(padded)
