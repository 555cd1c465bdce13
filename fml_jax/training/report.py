"""The report of a run: its curves and picture sheets on one page, report.html, that needs no other file."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fml_jax.errors import InputError
from fml_jax.files import complete_or_absent
from fml_jax.pages import page
from fml_jax.training import metrics, sheets

REPORT = "report.html"
_SHOWN_SHEETS = 12
_POINTS = 1500  # of a curve; more than a figure has pixels
_SMOOTH = 0.05  # of a curve's points, over which its thick line is averaged
_COLOURS = ("#4a7fb5", "#c8703a", "#5a9a5a", "#9a6fb0", "#b05a6a", "#8a8a3a")
_GREY = "#888888"  # readable on light and on dark pages
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _GREY,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "font.size": 8,
    "svg.hashsalt": "report",
}

_PAGE_STYLE = Path(__file__).with_name("report.css")


def write_report(workdir: Path) -> Path:
    """Writes WORKDIR/report.html of a run that has ended, is running, or was killed.

    Returns:
      the path of the page.

    Raises:
      InputError: the folder is no run, or a run without metrics; the page cannot be written.
    """
    config, rows = _read_run(Path(workdir))
    path = Path(workdir) / REPORT
    with complete_or_absent(path) as partial:
        partial.write_text(_page(Path(workdir), config, rows), "utf-8")
    return path


def curves(rows: list[dict]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Rows of metrics as curves: section → figure → line → [n, 2] of (step, value).

    Values that are not finite are left out. The figure of a gradient norm has one line for each group of parameters.
    """
    found: dict[str, dict[str, dict[str, list]]] = {}
    for row in rows:
        for name, value in row.items():
            if name in ("step", "seconds", metrics.VALIDATION) or not np.isfinite(value):
                continue
            section, figure, line = _place(name, metrics.VALIDATION in row)
            found.setdefault(section, {}).setdefault(figure, {}).setdefault(line, []).append((row["step"], value))
    return {section: _sorted(found[section]) for section in _SECTIONS if section in found}


def _sorted(figures):
    """By name, the loss before all."""
    return {
        figure: {line: np.array(points) for line, points in sorted(figures[figure].items())}
        for figure in sorted(figures, key=lambda name: (name != "loss", name))
    }


_TERM_SECTIONS = {
    "photos": "Terms on photos",
    "changed": "Terms on photos mirrored or blurred",
    "synthetic": "Terms on synthetic faces",
}
_SECTIONS = ("Training", "Held-out faces", *_TERM_SECTIONS.values(), "Gradient norms", "Speed")


def _place(name: str, validation: bool) -> tuple[str, str, str]:
    """Section, figure and line that a value belongs to."""
    if validation:
        return "Held-out faces", name, ""
    if name.startswith("gradient/"):
        term, group = name.removeprefix("gradient/").rsplit("/", 1)
        return "Gradient norms", term, group
    if name in ("images_per_second", "wait"):
        return "Speed", {"wait": "share of time waiting for batches"}.get(name, "images per second"), ""
    kind, _, term = name.partition("/")
    return (_TERM_SECTIONS[kind], term, "") if term and kind in _TERM_SECTIONS else ("Training", name, "")


def draw_curves(lines: Mapping[str, np.ndarray], borders: Sequence[int] = ()) -> str:
    """One small figure as SVG text, transparent; dotted lines at `borders`, the steps where a stage ends."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4, 2.1), layout="constrained")
        axes = figure.add_subplot()
        values = np.concatenate([points[:, 1] for points in lines.values()])
        if values.min() > 0 and values.max() > 20 * values.min():
            axes.set_yscale("log")
        for (name, points), colour in zip(lines.items(), _COLOURS * len(lines), strict=False):
            _line(axes, _thinned(points), name, colour)
        for border in borders:
            axes.axvline(border, color=_GREY, linewidth=0.8, linestyle=":")
        axes.spines[["top", "right"]].set_visible(False)
        if any(lines):
            axes.legend(frameon=False, labelcolor=_GREY)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _line(axes, points, name, colour):
    """The values, faint where there are many, and their moving average."""
    window = int(_SMOOTH * len(points))
    if window < 2:
        axes.plot(*points.T, color=colour, linewidth=1.4, marker="." if len(points) < 30 else None, label=name)
        return
    axes.plot(*points.T, color=colour, linewidth=0.6, alpha=0.35)
    smooth = np.convolve(points[:, 1], np.full(window, 1 / window), "valid")
    axes.plot(points[window - 1 :, 0], smooth, color=colour, linewidth=1.4, label=name)


def _thinned(points):
    return points[:: -(-len(points) // _POINTS)]


def _read_run(workdir: Path) -> tuple[dict, list[dict]]:
    if not workdir.is_dir():
        raise InputError(f"{workdir}: no such folder; give the --workdir of a training run")
    for name in (metrics.CONFIG, metrics.FILE):
        if not (workdir / name).is_file():
            raise InputError(f"{workdir}: not a training run: it has no {name}; give the --workdir of fml-train")
    try:
        config, rows = json.loads((workdir / metrics.CONFIG).read_text("utf-8")), metrics.read_metrics(workdir)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{workdir}: {metrics.CONFIG} or {metrics.FILE} is damaged ({error})") from error
    if not rows:
        raise InputError(f"{workdir}: nothing was measured yet; wait for the first of --config.log_every steps")
    return config, rows


def _page(workdir, config, rows) -> str:
    lengths = {name: config["stages"][name]["steps"] for name in config["stage_order"]}
    borders = np.cumsum(list(lengths.values()))[:-1].tolist()
    last = rows[-1]["step"]
    sections = "".join(
        _section(title, figures, [b for b in borders if b < last]) for title, figures in curves(rows).items()
    )
    stages = ", ".join(f"{name} {steps}" for name, steps in lengths.items())
    settings = html.escape(json.dumps(config, indent=2))
    return page(
        title=f"Training run: {workdir.resolve().name}",
        heading=workdir.resolve().name,
        note=f"step {last} of {sum(lengths.values())} (stages: {stages}); encoder {config['encoder']}",
        style=_PAGE_STYLE.read_text("utf-8"),
        content=f"{sections}\n"
        f'<section><h2>Pictures</h2><div class="sheets">{_sheets(workdir)}</div></section>\n'
        f"<section><h2>Config</h2><details><summary>config.json</summary><pre>{settings}</pre></details></section>",
    )


def _section(title, figures, borders) -> str:
    drawn = "".join(
        f"<figure>{draw_curves(lines, borders)}<figcaption>{html.escape(_caption(name, lines))}</figcaption></figure>"
        for name, lines in figures.items()
    )
    return f'<section><h2>{title}</h2><div class="curves">{drawn}</div></section>'


def _caption(name: str, lines) -> str:
    return f"{name}: {lines[''][-1, 1]:.4g} at the end" if "" in lines else name


def _sheets(workdir: Path) -> str:
    """The newest sheet, and others spread over the run folded below it."""
    paths = sorted((workdir / sheets.FOLDER).glob("step_*.png"))[::-1]
    if not paths:
        return "<p>None were written (--config.sheet_every).</p>"
    shown = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _SHOWN_SHEETS)).round().astype(int))
    folded = [f"<details{'' if k else ' open'}>{_sheet(paths[k])}</details>" for k in shown]
    left_out = len(paths) - len(shown)
    return "".join(folded) + (f"<p>{left_out} more in {sheets.FOLDER}/.</p>" if left_out else "")


def _sheet(path: Path) -> str:
    step = int(path.stem.removeprefix("step_"))
    picture = cv2.imread(str(path))
    if picture is None:
        raise InputError(f"{path}: not a picture; remove it and write the report again")
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    code = base64.b64encode(jpeg.tobytes()).decode()
    return f'<summary>step {step}</summary><img src="data:image/jpeg;base64,{code}" alt="sheet of step {step}">'
