"""The viewer's files: numbers survive, a page is complete and small, a folder's faces are beside the page."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.export.viewer import write_viewer
from fml_jax.export.viewer.face_data import FRAME, face_data, framed_photo
from fml_jax.export.viewer.face_file import write_face
from fml_jax.export.viewer.folder import CONTAINED, address_of, entry_of, write_folder_viewer
from fml_jax.export.viewer.model_data import model_data
from fml_jax.export.viewer.packing import Packer, unpacked
from fml_jax.face_model import load_arkit_shapes

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def page(face, tmp_path_factory):
    return face.viewer(tmp_path_factory.mktemp("page") / "face.html")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int16, np.int32])
@pytest.mark.parametrize("shape", [(5, 3), (2, 7, 3), (0, 3), (4, 1)])
def test_packed_integers_read_back(kind, shape):
    limits = np.iinfo(kind)
    array = np.random.default_rng(0).integers(limits.min, limits.max, shape, kind, endpoint=True)
    packer = Packer()
    packer.add("a", array)
    packer.add("b", array[..., :1])
    read = unpacked(json.loads(json.dumps(packer.packed())))
    np.testing.assert_array_equal(read["a"], array)
    np.testing.assert_array_equal(read["b"], array[..., :1])


def test_lengths_are_as_fine_as_asked_unless_they_are_too_large():
    lengths = np.array([[0.013, -2000.0, 1.0]])
    packer = Packer()
    packer.add_lengths("fine", lengths[:, ::2], 0.02)
    packer.add_lengths("large", lengths, 0.02)
    read = unpacked(packer.packed())
    np.testing.assert_allclose(read["fine"], lengths[:, ::2], atol=0.0101)
    np.testing.assert_allclose(read["large"], lengths, atol=2000 / 32767)


def test_a_faces_numbers_are_those_of_the_reconstruction(face):
    data = face_data(face)
    arrays, count = unpacked(data), len(face.vertices)
    np.testing.assert_allclose(arrays["positions"][:count], face.vertices, atol=0.011)
    np.testing.assert_allclose(arrays["colours"], np.clip(face.reflectance, 0, 1), atol=0.0021)
    np.testing.assert_allclose(data["light"], face.illumination, atol=1e-5)
    assert len(arrays["positions"]) > count  # teeth and tongue
    assert (
        data["levels"] == ["base", "final"]
        and "uncertainty" not in arrays
        and data["mask"].startswith("data:image/webp")
    )
    base = face.level("base")
    np.testing.assert_allclose(arrays["base_colours"], np.clip(base.reflectance, 0, 1), atol=0.0021)
    np.testing.assert_allclose(arrays["base_moved"], base.vertices - face.vertices, atol=0.011)
    assert face_data(base)["levels"] == []


def test_shapes_and_rest_are_the_faces_expression(face):
    shared, data = unpacked(model_data(face.model)), face_data(face)
    names, count = model_data(face.model)["names"], len(face.vertices)
    shapes = load_arkit_shapes()
    assert names == list(shapes)
    jaw = shared["shapes"][names.index("jawOpen")]
    np.testing.assert_allclose(jaw[:count], shapes["jawOpen"], atol=0.08)
    moved = np.tensordot(data["weights"], shared["shapes"], 1) + unpacked(data)["rest"]
    own = np.tensordot(np.asarray(face.code.expression), np.asarray(face.model.expression), 1)
    np.testing.assert_allclose(moved[:count], own, atol=0.3)
    assert jaw[count:].max() == 0 or np.abs(jaw[count:]).max() > 5  # the lower teeth follow the jaw


def test_a_refined_face_has_two_levels(face):
    face = face.level("base")
    added = np.full_like(face.reflectance, 0.1)
    data = face_data(replace(face, reflectance=face.reflectance + added, reflectance_corrections=added))
    assert data["levels"] == ["base", "final"]
    np.testing.assert_allclose(unpacked(data)["base_colours"], np.clip(face.reflectance, 0, 1), atol=0.0021)


def test_uncertainty_and_mask_are_shown_where_a_face_has_them(face):
    spread = np.linspace(0.5, 4, len(face.vertices))
    fields = {**{name: getattr(face, name) for name in face.__dataclass_fields__}, "angles": face.angles}
    rich = SimpleNamespace(**fields, illumination=face.illumination, translation=face.translation, level=face.level)
    rich.uncertainty, rich.mask = spread, np.ones((240, 240))
    data = face_data(rich)
    np.testing.assert_allclose(unpacked(data)["uncertainty"][:, 0], spread, atol=0.011)
    assert data["mask"].startswith("data:image/webp;base64,")


def test_the_framed_photo_is_transparent_beyond_the_photo(face):
    picture = framed_photo(face)
    assert picture[..., 3].mean() > 250
    corner = replace(face, crop_from_photo=face.crop_from_photo + [[0, 0, 400], [0, 0, 0]])
    alpha = framed_photo(corner)[..., 3]
    assert alpha[:, 0].max() == 0 and FRAME > 1


def test_a_page_of_one_face_is_complete_and_under_three_megabytes(page):
    text = page.read_text("utf-8")
    assert page.stat().st_size < 3 * MEGABYTE
    assert "default-src 'none'" in text and "The MIT License" in text
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text)
    assert text.count("</script>") == text.count("<script>")


def test_a_model_without_named_shapes_is_shown_without_sliders(face, tiny_model, tiny_code):
    plain = replace(
        face,
        model=tiny_model,
        code=tiny_code,
        vertices=np.asarray(tiny_model.mean),
        reflectance=np.asarray(tiny_model.reflectance_mean),
        reflectance_corrections=np.zeros((81, 3), np.float32),
    )
    assert model_data(tiny_model)["names"] == [] and face_data(plain)["weights"] == []
    assert len(unpacked(face_data(plain))["positions"]) == 81


def test_no_face_and_no_path_are_told(tmp_path, face):
    with pytest.raises(InputError, match="no face to show"):
        write_viewer(tmp_path / "a.html", [])
    with pytest.raises(InputError, match="empty path"):
        face.viewer("")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        face.viewer(tmp_path / "file" / "a.html")


def test_few_faces_of_a_folder_are_in_its_page_and_many_beside_it(face, tmp_path):
    stems = [f"sub/é {k}" for k in range(CONTAINED + 1)]
    for stem in stems:
        write_face(face, tmp_path, stem)
    entries = [entry_of(stem, 0, stem) for stem in stems]
    few = write_folder_viewer(tmp_path, [entries[:2]])
    assert few.read_text("utf-8").count("fml.face(") == 2 and "default-src" in few.read_text("utf-8")
    many = write_folder_viewer(tmp_path, [entries[:-1], entries[-1:]]).read_text("utf-8")
    assert many.count("fml.face(") == 0 and len(many) < MEGABYTE
    assert sorted(path.name for path in (tmp_path / "viewer").glob("list_*")) == ["list_0001.js", "list_0002.js"]
    assert address_of("a b", 0, 2) == "viewer.html#2/a%20b_0"


def test_faces_without_a_script_are_left_out_and_no_page_remains_without_faces(face, tmp_path):
    write_face(face, tmp_path, "here")
    entries = [entry_of("here", 0, "here"), entry_of("gone", 0, "gone")]
    page = write_folder_viewer(tmp_path, [entries])
    assert '"title":"here"' in page.read_text("utf-8") and '"title":"gone"' not in page.read_text("utf-8")
    assert write_folder_viewer(tmp_path, []) is None and not page.exists()
