"""Headless Chromium for tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# WebGL is drawn on the CPU; root may not use the sandbox.
_ARGUMENTS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
_PATIENCE = 120_000  # ms: a busy machine draws slowly
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}


def find_chromium() -> str:
    """The path of an installed Chromium; where CI has none the test fails, elsewhere it is skipped."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop("needs Chromium; on Debian run: apt-get install chromium")
    return path


@contextmanager
def chromium() -> Iterator:
    """A headless browser of Playwright without a network."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser, path: Path, *, device: str = "desktop", dark: bool = False, fragment: str = "") -> Iterator:
    """A local page in a window of SIZES; leaving fails if it wrote an error to the console or asked for another host.

    Args:
      device: a key of SIZES; a phone has a touch screen.
      dark: the colour scheme that the page shall prefer.
      fragment: follows the page's address after a #.
    """
    width, height = SIZES[device]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=device == "phone",
        color_scheme="dark" if dark else "light",
        accept_downloads=True,
    )
    errors, asked = [], []
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(path.resolve().as_uri() + (f"#{fragment}" if fragment else ""))
        yield page
        assert not errors
        assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    finally:
        context.close()
