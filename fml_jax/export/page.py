"""One HTML page that shows reconstructions side by side; it works offline, from its folder."""

import html
import os
from pathlib import Path
from urllib.parse import quote

from fml_jax.export.saving import write_png
from fml_jax.reconstruction.pictures import render_all

# Pictures of a face, and what stands under them.
_TITLES = {
    "photo": "photo",
    "landmarks": "its 68 landmarks",
    "overlay": "the face on the photo",
    "geometry": "geometry",
    "reflectance": "reflectance: skin without light",
    "shading": "shading: the light on white or grey skin",
}
_PICTURE_SIZE = 240

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>3D faces</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --quiet: #888; }}
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 1320px; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-weight: 600; margin: 0 }}
p.note {{ color: var(--quiet); margin: .2rem 0 1.5rem }}
section {{ border-top: 1px solid var(--line); padding: 1rem 0 }}
h2 {{ font-size: 1rem; margin: 0 0 .6rem }} h2 span {{ color: var(--quiet); font-weight: 400; margin-left: .8em }}
h2 .low {{ color: #c33 }}
.row {{ display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: .6rem }}
figure {{ margin: 0 }} img {{ width: 100%; height: auto; border-radius: 6px; display: block }}
figcaption {{ color: var(--quiet); font-size: .85rem; padding-top: .2rem }}
@media (max-width: 700px) {{ .row {{ grid-template-columns: repeat(2, 1fr) }} }}
</style>
<h1>{count}</h1>
<p class="note">{note}</p>
{sections}
{failures}
</html>
"""


class Page:
    """Collects faces as they are saved, and writes `index.html` at the end."""

    def __init__(self, folder: Path):
        self._folder, self._sections, self._version = folder, [], ""
        self._pictures = folder / "pictures"

    def add(self, face, stem: str, files: list[Path]) -> None:
        """Draws a face's pictures into `pictures/` and adds its row."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        self._version = face.model_version
        figures = []
        for kind, picture in render_all(face, tuple(_TITLES), _PICTURE_SIZE).items():
            path = self._pictures / f"{stem}_{face.index}_{kind}.png"
            write_png(path, picture)
            link = quote(os.path.relpath(path, self._folder))
            title = _TITLES[kind]
            figures.append(
                f'<figure><img src="{link}" alt="{title}" loading="lazy"><figcaption>{title}</figcaption></figure>'
            )
        self._sections.append(f'<section>{_heading(face, files)}<div class="row">{"".join(figures)}</div></section>')

    @property
    def faces(self) -> int:
        """How many have been added."""
        return len(self._sections)

    def count(self, stopped: bool = False) -> str:
        """How many faces there are, in words; `stopped`: before all photos were done."""
        return f"{self.faces} face{'' if self.faces == 1 else 's'}{', stopped before the end' if stopped else ''}"

    def write(self, failures: list[tuple[str, str]] = (), stopped: bool = False) -> Path:
        """Writes the page; failures are photos without a face, as (name, reason); `stopped` as in `count`."""
        reasons = "".join(f"<li>{html.escape(reason)}</li>" for _, reason in failures)
        text = _PAGE.format(
            count=self.count(stopped),
            note=html.escape(self._version),
            sections="\n".join(self._sections),
            failures=f"<section><h2>Photos without a face</h2><ul>{reasons}</ul></section>" if reasons else "",
        )
        path = self._folder / "index.html"
        path.write_text(text, encoding="utf-8")
        return path


def _heading(face, files) -> str:
    name = html.escape(f"{Path(face.source).name}, face {face.index}")
    mark = ' class="low"' if face.score < 0.5 else ""
    yaw, pitch, roll = face.angles
    links = " · ".join(f'<a href="{quote(path.name)}">{html.escape(_kind(path))}</a>' for path in files)
    facts = f"yaw {round(yaw)}°, pitch {round(pitch)}°, roll {round(roll)}°"
    return f"<h2>{name}<span{mark}>score {face.score:.2f}</span><span>{facts}</span><span>{links}</span></h2>"


def _kind(path: Path) -> str:
    return "overlay" if path.suffix == ".png" else path.suffix[1:]
