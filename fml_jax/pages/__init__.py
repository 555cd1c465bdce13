"""The frame of all HTML pages: one template and one style sheet; each kind of page adds its own content and rules."""

import html
import string
from pathlib import Path

_TEMPLATE = Path(__file__).with_name("page.html")
_STYLE = Path(__file__).with_name("page.css")


def page(*, title: str, heading: str, content: str, note: str = "", style: str = "", head: str = "") -> str:
    """A whole page, which needs no other file unless its content refers to one.

    Args:
      title: of the window; plain text, as are heading and note.
      content: HTML below the heading.
      note: a line under the heading.
      style: CSS that follows the common rules.
      head: HTML for the page's head.
    """
    return string.Template(_TEMPLATE.read_text("utf-8")).substitute(
        title=html.escape(title),
        heading=html.escape(heading),
        note=html.escape(note),
        style=_STYLE.read_text("utf-8") + style,
        head=head,
        content=content,
    )
