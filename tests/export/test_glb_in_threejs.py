"""three.js in headless Chromium loads a saved GLB, and its named shapes move the mesh."""

import base64
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from fml_jax.face_model import load_arkit_shapes
from tests.browser import chromium

_HOST = "http://files.test"
_THREE = Path(__file__).parents[1] / "node" / "node_modules" / "three"
_PAGE = Path(__file__).with_name("gltf_in_threejs.html")


@pytest.fixture(scope="module")
def page(face, tmp_path_factory):
    """The page with a face's GLB, served from the disk: pages of the disk itself may not import modules."""
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    assert _THREE.is_dir(), "make test installs Node's packages: npm install --prefix tests/node"
    glb = face.save(tmp_path_factory.mktemp("glb") / "face.glb")[0]

    def served(route):
        place = route.request.url.removeprefix(_HOST)
        route.fulfill(path=_THREE / place.removeprefix("/three/") if place.startswith("/three/") else files[place])

    files = {"/": _PAGE, "/face.glb": glb}
    with chromium() as browser:
        page = browser.new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.route(f"{_HOST}/**", served)
        page.goto(f"{_HOST}/")
        page.wait_for_selector("html[data-loaded]", state="attached", timeout=120_000)
        yield page
        assert not errors


def moved(page, name, weight):
    """The skin's vertices [V, 3] in mm and the picture [400, 400, 3] with a shape at a weight."""
    found = page.evaluate("([name, weight]) => window.moved(name, weight)", [name, weight])
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(found["picture"]), np.uint8), cv2.IMREAD_COLOR)
    return 1000 * np.array(found["positions"]), picture


def test_it_knows_the_named_shapes(page):
    assert {*load_arkit_shapes()} <= set(page.evaluate("window.names"))


@pytest.mark.parametrize("name, axis", [("jawOpen", 1), ("eyeBlinkLeft", 1)])
def test_a_named_shape_moves_the_mesh_and_the_picture_as_far_as_the_face_model_does(page, name, axis):
    (still, before), (open_, after) = moved(page, name, 0.0), moved(page, name, 1.0)
    moved(page, name, 0.0)
    lowered = (open_ - still)[:, axis].min()
    assert lowered == pytest.approx(load_arkit_shapes()[name][:, axis].min(), abs=0.2)  # mm
    assert before.std() > 10, "the face is seen"
    assert (np.abs(before.astype(int) - after).max(axis=-1) > 20).sum() > 60
