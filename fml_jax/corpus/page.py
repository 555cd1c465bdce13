"""A corpus's index.html: counts, reasons for rejection, histograms of the examples, and a sheet of crops."""

import base64
import colorsys
import html
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.corpus.card import Corpus, is_synthetic
from fml_jax.corpus.records import Example, decode, read_shard
from fml_jax.files import complete_or_absent
from fml_jax.pages import page
from fml_jax.photos.crops import CROP_SIZE, apply_affine, crop_photo

SHEET = 100  # crops shown
_HISTOGRAMS = {
    "size": "size of the face, photo pixels",
    "sharpness": "sharpness, grey levels",
    "brightness": "brightness of the face, 0–255",
    "yaw": "yaw, degrees (to the subject's left)",
    "pitch": "pitch, degrees (up)",
    "confidence": "mean confidence of the landmarks",
}
_BINS = 32
_UNSURE, _SURE = 0.3, 1.0  # confidences at the ends of the colour scale

_STYLE = Path(__file__).with_name("page.css")


def write_page(corpus: Corpus, rejected: list[dict]) -> None:
    """Writes `index.html` into the corpus's folder.

    Args:
      corpus: the corpus, but for its card's file, which is written last.
      rejected: the rows of rejected.csv.
    """
    card, entries, rendered = corpus.card, corpus.entries, is_synthetic(corpus.card)
    shown = _spread(entries, SHEET)
    # The landmarks of renders are exact.
    histograms = {name: title for name, title in _HISTOGRAMS.items() if not (rendered and name == "confidence")}
    examples = "".join(
        _histogram(title, [float(entry[name]) for entry in entries]) for name, title in histograms.items()
    )
    sections = {
        "Sources": _sources(card["sources"]),
        "Rejected": _reasons(rejected, card["photos"]),
        "Examples": f'<div class="histograms">{examples}</div>',
        f"{len(shown)} crops, spread over the corpus": _sheet(corpus.folder, card, shown, rendered),
    }
    heading = (
        f"{card['examples']} synthetic faces" if rendered else f"{card['examples']} examples of {card['photos']} photos"
    )
    text = page(
        title=f"Training corpus: {heading}",
        heading=heading,
        note="Rendered with known codes" if rendered else _split(card),
        style=_STYLE.read_text("utf-8"),
        content="".join(f"<section><h2>{title}</h2>{content}</section>\n" for title, content in sections.items()),
    )
    with complete_or_absent(corpus.folder / "index.html") as partial:
        partial.write_text(text, "utf-8")


def _split(card: dict) -> str:
    people = "1 person" if card["people"] == 1 else f"{card['people']} people"
    split = f"{card['training']} for training, {card['validation']} for validation, {card['test']} for tests, {people}"
    return f"{split}; {card['crops_from_detector']} crops are framed by the detector"


def draw_landmarks(
    rgb: UInt8[np.ndarray, "H W 3"], points: Float[np.ndarray, "n 2"], confidence: Float[np.ndarray, "n"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with a dot at each landmark, coloured by confidence: red (0.3 or less), yellow, green, blue (1)."""
    drawn = rgb.copy()
    for (x, y), sure in zip(points, confidence, strict=True):
        centre = round(16 * float(x)), round(16 * float(y))
        cv2.circle(drawn, centre, 16 * 2, (0, 0, 0), cv2.FILLED, cv2.LINE_AA, shift=4)
        cv2.circle(drawn, centre, 24, _colour(float(sure)), cv2.FILLED, cv2.LINE_AA, shift=4)
    return drawn


def _colour(confidence: float) -> tuple[int, int, int]:
    sure = np.clip((confidence - _UNSURE) / (_SURE - _UNSURE), 0, 1)
    red, green, blue = colorsys.hsv_to_rgb(0.58 * float(sure), 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _spread(entries: list[dict], count: int) -> list[dict]:
    rows = np.unique(np.linspace(0, len(entries) - 1, min(count, len(entries))).round().astype(int))
    return [entries[row] for row in rows]


def _examples(folder: Path, card: dict, entries: list[dict]):
    """Reads examples shard by shard, so that each shard is read once."""
    number, records = None, []
    for entry in entries:
        if entry["shard"] != number:
            number = entry["shard"]
            records = read_shard(folder / "shards" / card["shards"][int(number)]["file"])
        yield decode(records[int(entry["row"])])


def _sheet(folder: Path, card: dict, shown: list[dict], rendered: bool) -> str:
    """Crops with their landmarks, and what the landmarks' colours mean."""
    scale = ", ".join("rgb({}, {}, {})".format(*_colour(c)) for c in np.linspace(_UNSURE, _SURE, 9))
    bar = f'<span class="scale" style="background: linear-gradient(to right, {scale})"></span>'
    legend = (
        "68 landmarks, which are known exactly"
        if rendered
        else f"68 landmarks, coloured by confidence: {_UNSURE:g} or less{bar}{_SURE:g}"
    )
    figures = "".join(_figure(example) for example in _examples(folder, card, shown))
    return f'<p>{legend}</p><div class="sheet">{figures}</div>'


def _figure(example: Example) -> str:
    crop = crop_photo(example.window, np.array(example.crop))
    points = apply_affine(example.crop, example.landmarks68)
    inside = (np.abs(points - CROP_SIZE / 2) < CROP_SIZE).all(axis=1)
    picture = draw_landmarks(crop, points[inside], example.confidence[inside])
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    code, name = base64.b64encode(jpeg.tobytes()).decode(), html.escape(example.name, quote=True)
    title = f"{name}, confidence {example.confidence.mean():.2f}"
    return f'<img src="data:image/jpeg;base64,{code}" alt="{name}" title="{title}" loading="lazy">'


def _sources(sources: list[dict]) -> str:
    rows = [
        f"<tr><td>{_text(source['name'])}<td class=number>{source['photos']}<td class=number>{source['examples']}"
        f"<td class=number>{source['weight']:g}<td>{_text(source['input'] or '')}"
        f"<td>{_text(source['where'])}<td>{_text(source['terms'])}"
        for source in sources
    ]
    heads = "".join(
        f"<th>{head}" for head in ("source", "photos", "examples", "weight", "from", "where to get it", "terms")
    )
    return f"<table><tr>{heads}{''.join(rows)}</table>"


def _reasons(rejected: list[dict], photos: int) -> str:
    counts = Counter(entry["reason"] for entry in rejected)
    if not counts:
        return "<p>None.</p>"
    largest = max(counts.values())
    rows = [
        f"<tr><td>{_text(reason)}<td class=number>{count}<td class=number>{100 * count / photos:.2f} %"
        f'<td><span class="bar" style="width: {12 * count / largest:.1f}rem"></span>'
        for reason, count in counts.most_common()
    ]
    return f"<table>{''.join(rows)}</table><p>rejected.csv names each photo and its number.</p>"


def _histogram(title: str, values: list[float]) -> str:
    if not values:
        return ""
    low, high = np.quantile(values, [0.002, 0.998])
    counts, edges = np.histogram(np.clip(values, low, high), _BINS, (low, max(high, low + 1e-3)))
    heights = 100 * counts / counts.max()
    bars = "".join(f'<rect x="{10 * k}" y="{100 - h:.1f}" width="9" height="{h:.1f}"/>' for k, h in enumerate(heights))
    ticks = "".join(
        f'<text x="{10 * k}" y="114" text-anchor="{anchor}">{edges[k]:.3g}</text>'
        for k, anchor in ((0, "start"), (_BINS // 2, "middle"), (_BINS, "end"))
    )
    caption = f"{title}: median {np.median(values):.3g}"
    drawing = f'<svg viewBox="0 0 {10 * _BINS} 118" role="img" aria-label="{caption}">{bars}{ticks}</svg>'
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"


def _text(value) -> str:
    return html.escape(str(value))
