"""The viewer in headless Chromium: it loads, turns, moves vertices, compares, saves, and asks for nothing."""

import base64

import cv2
import numpy as np
import pytest

from fml_jax.export.viewer.face_file import write_face
from fml_jax.export.viewer.folder import CONTAINED, entry_of, write_folder_viewer
from fml_jax.face_model import load_arkit_shapes
from fml_jax.reconstruction.pictures import render_all
from tests.browser import SIZES, chromium, opened

GROUND = 237  # grey in place of what is transparent, as the plain ground of pictures


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def viewer(face, tmp_path_factory):
    return face.viewer(tmp_path_factory.mktemp("viewer") / "face.html")


def shown(page):
    page.wait_for_selector("html[data-shown]", state="attached")
    return page


def choose(page, view):
    page.locator(f'input[name="view"][value="{view}"]').check(force=True)


def canvas(page):
    """The stage's picture, [H, W, 3]."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    code = page.evaluate("document.getElementById('canvas').toDataURL()").split(",")[1]
    rgba = cv2.imdecode(np.frombuffer(base64.b64decode(code), np.uint8), cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]]
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + GROUND * (1 - alpha)


def crop_of(picture, frame, size):
    """The crop's part of the stage, whose height or width shows `frame` crops."""
    height, width = picture.shape[:2]
    half = min(height, width) / frame / 2
    rows, columns = (slice(round(side / 2 - half), round(side / 2 + half)) for side in (height, width))
    return cv2.resize(picture[rows, columns], (size, size), interpolation=cv2.INTER_AREA)


def vertices(page):
    return np.array(page.evaluate("Array.from(fml.stage.levels[0].attributes.position.array)")).reshape(-1, 3)


@pytest.mark.parametrize("device", SIZES)
def test_a_face_loads_turns_and_moves_its_mouth(browser, viewer, face, device):
    with opened(browser, viewer, device=device, dark=device == "phone") as page:
        shown(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[device][0]
        before, box = canvas(page), page.locator("#canvas").bounding_box()
        assert before.std() > 20
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y + 10)
        page.mouse.up()
        assert np.abs(canvas(page) - before).mean() > 5
        page.locator("#canvas").focus()
        page.keyboard.press("0")
        assert np.abs(canvas(page) - before).mean() < 1
        page.locator("#search").fill("jaw open")
        rest = vertices(page)
        np.testing.assert_allclose(rest[: len(face.vertices)], face.vertices, atol=0.02)
        page.locator('input[name="jawOpen"]').fill("1")
        moved = np.linalg.norm(vertices(page) - rest, axis=1)[: len(face.vertices)]
        opened_before = page.evaluate("fml.stage.face.weights[fml.stage.model.names.indexOf('jawOpen')]")
        whole = np.linalg.norm(load_arkit_shapes()["jawOpen"], axis=1)
        np.testing.assert_allclose(moved, (1 - opened_before) * whole, atol=0.1)
        page.get_by_role("button", name="As photographed", exact=True).last.click()
        np.testing.assert_allclose(vertices(page), rest, atol=1e-3)


def test_pictures_have_the_colours_of_the_packages_own(browser, viewer, face):
    own = render_all(face, ("overlay", "reflectance", "geometry"), 240)
    with opened(browser, viewer) as page:
        frame = shown(page).evaluate("fml.stage.face.frame")
        for kind, picture in own.items():
            choose(page, kind)
            difference = np.abs(crop_of(canvas(page), frame, 240) - picture)[60:180, 60:180]
            assert difference.mean() < 5, kind


def test_a_wipe_shows_one_picture_left_and_the_other_right_of_its_edge(browser, viewer):
    with opened(browser, viewer) as page:
        shown(page)
        pictures = {}
        for kind in ("geometry", "final"):
            choose(page, kind)
            pictures[kind] = canvas(page)
        page.locator("#other").select_option("geometry")
        page.locator("#wipe").fill("0.5")
        both, middle = canvas(page), pictures["final"].shape[1] // 2
        np.testing.assert_array_equal(both[:, : middle - 2], pictures["final"][:, : middle - 2])
        np.testing.assert_array_equal(both[:, middle + 2 :], pictures["geometry"][:, middle + 2 :])


def test_dragging_the_ball_moves_the_light_and_not_the_face(browser, viewer):
    with opened(browser, viewer) as page:
        shown(page)
        choose(page, "shading")
        page.locator("#light").select_option("lamp")
        before, rest = canvas(page), vertices(page)
        page.locator("#ball").focus()
        for _ in range(6):
            page.keyboard.press("ArrowRight")
        assert np.abs(canvas(page) - before).mean() > 3
        np.testing.assert_array_equal(vertices(page), rest)


def test_files_are_made_in_the_browser(browser, viewer, tmp_path):
    with opened(browser, viewer) as page:
        count = len(vertices(shown(page)))
        found = {}
        for name in ("glb", "obj", "png"):
            with page.expect_download() as download:
                page.locator(f"#{name}").click()
            download.value.save_as(tmp_path / name)
            found[name] = (tmp_path / name).read_bytes()
            assert download.value.suggested_filename.endswith(f"_face_0.{name}")
    assert found["glb"][:4] == b"glTF" and found["png"][1:4] == b"PNG"
    rows = [line.split() for line in found["obj"].decode().splitlines() if line.startswith("v ")]
    assert len(rows) == count and len(rows[0]) == 7


def test_a_large_folders_faces_are_loaded_when_they_are_shown(browser, face, tmp_path):
    stems = [f"sub/é {k}" for k in range(CONTAINED + 1)]
    for stem in stems:
        write_face(face, tmp_path, stem)
    entries = [entry_of(stem, 0, f"photo {k}") for k, stem in enumerate(stems)]
    path = write_folder_viewer(tmp_path, [entries[:5], entries[5:]])
    with opened(browser, path, fragment=f"2/{entries[6].name}") as page:
        assert shown(page).inner_text("h1") == "photo 6"
        assert page.evaluate("Object.keys(fml.faces).length") == 1
        page.locator("#next").click()
        page.wait_for_selector("h1:text-is('photo 7')")
        assert page.evaluate("Object.keys(fml.faces).length") == 2
