"""GLB files: read back by trimesh and by a few lines of their own, and driven as an animator would."""

import json
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pygltflib
import pytest
import trimesh

from fml_jax.export import glb as glb_module
from fml_jax.export.head import REST, head_of
from fml_jax.fitting.named_shapes import named_shapes

_TYPES = {5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


_NODE = Path(__file__).parents[1] / "node"


class Glb:
    """A GLB file, by the words of its specification."""

    def __init__(self, path):
        content = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", content)
        assert magic == b"glTF" and version == 2 and length == len(content)
        size, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON"
        self.tree = json.loads(content[20 : 20 + size])
        self.binary = content[28 + size :]
        self.mesh = self.tree["meshes"][0]
        self.primitives = {self.tree["materials"][each["material"]]["name"]: each for each in self.mesh["primitives"]}

    def array(self, index):
        """An accessor's values, sparse ones filled in."""
        accessor = self.tree["accessors"][index]
        kind, width = _TYPES[accessor["componentType"]], _WIDTHS[accessor["type"]]
        values = np.zeros((accessor["count"], width), kind)
        if "bufferView" in accessor:
            values[:] = self._numbers(accessor["bufferView"], 0, kind, len(values) * width).reshape(-1, width)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            where = sparse["indices"]
            rows = self._numbers(
                where["bufferView"], where["byteOffset"], _TYPES[where["componentType"]], sparse["count"]
            )
            assert (np.diff(rows.astype(int)) > 0).all()
            place = sparse["values"]
            values[rows] = self._numbers(
                place["bufferView"], place["byteOffset"], kind, sparse["count"] * width
            ).reshape(-1, width)
        if "min" in accessor:
            np.testing.assert_array_equal(values.min(axis=0), np.float32(accessor["min"]))
            np.testing.assert_array_equal(values.max(axis=0), np.float32(accessor["max"]))
        return values

    def _numbers(self, view, offset, kind, count):
        start = self.tree["bufferViews"][view]["byteOffset"] + offset
        return np.frombuffer(self.binary, kind, count, start)

    def positions(self, part, **weights):
        """Vertices of a part in mm, under weights by name; the others are those of the file if `own` is given."""
        own = weights.pop("own", False)
        primitive, names = self.primitives[part], self.mesh["extras"]["targetNames"]
        used = dict(zip(names, self.mesh["weights"], strict=True)) if own else dict.fromkeys(names, 0.0)
        used |= weights
        points = self.array(primitive["attributes"]["POSITION"]).astype(float)
        for name, target in zip(names, primitive["targets"], strict=True):
            if used[name]:
                points += used[name] * self.array(target["POSITION"])
        return 1000 * points


@pytest.fixture(scope="module")
def saved(face, tmp_path_factory):
    return face.save(tmp_path_factory.mktemp("glb") / "face.glb")[0]


@pytest.fixture(scope="module")
def glb(saved):
    return Glb(saved)


def nearest(points, targets):
    """Distance of each target to the nearest of the points."""
    return np.array([np.linalg.norm(points - target, axis=1).min() for target in targets])


@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs Node and npm")
def test_khronos_validator_has_no_complaint(saved):
    assert (_NODE / "node_modules").is_dir(), "make test installs Node's packages: npm install --prefix tests/node"
    command = ["node", str(_NODE / "validate_gltf.js"), str(saved)]
    issues = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert issues["messages"] == []
    assert issues["numErrors"] == issues["numWarnings"] == 0


def test_it_is_what_the_library_would_write(face, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(glb_module, "_filled_fields", lambda document: json.loads(document.gltf_to_json()))
    assert face.save(tmp_path / "face.glb")[0].read_bytes() == saved.read_bytes()
    with open(saved, "rb") as file:
        assert pygltflib.GLTF2.load_from_bytes(file.read()).binary_blob() == Glb(saved).binary


def test_its_own_weights_show_the_face_as_it_was_reconstructed(face, glb):
    shown = np.concatenate([glb.positions("skin", own=True), glb.positions("eyes", own=True)])
    some = face.vertices[:: len(face.vertices) // 200]
    assert nearest(shown, some).max() < 1e-3  # mm
    assert len(shown) >= len(face.vertices)


def test_no_weights_show_the_person_without_expression(face, glb):
    neutral = face.vertices - np.tensordot(np.asarray(face.code.expression), np.asarray(face.model.expression), 1)
    shown = np.concatenate([glb.positions("skin"), glb.positions("eyes")])
    assert nearest(shown, neutral[::100]).max() < 1e-3
    assert np.linalg.norm(neutral - face.vertices, axis=1).max() > 3  # the astronaut smiles


def rows_at(face, points, landmarks):
    """The rows of the skin next to some of iBUG's 68 points on the neutral face."""
    model = face.model
    places = np.asarray(model.landmarks.ibug_from_mediapipe)[list(landmarks)]
    neutral = face.vertices - np.tensordot(np.asarray(face.code.expression), np.asarray(model.expression), 1)
    corners = np.asarray(model.landmarks.fixed_vertices)[places, 0]
    return [int(np.linalg.norm(points - neutral[corner], axis=1).argmin()) for corner in corners]


def test_jaw_open_lowers_chin_and_lower_teeth_and_nothing_above_the_mouth(face, glb):
    before = glb.positions("skin")
    moved = glb.positions("skin", jawOpen=1) - before
    assert moved[rows_at(face, before, [56, 57, 58]), 1].max() < -20  # the lower lip
    assert np.abs(moved[rows_at(face, before, [19, 24, 27, 30, 37, 44])]).max() < 1.5  # brows, nose, upper lids
    teeth = glb.positions("teeth", jawOpen=1)[:, 1] - glb.positions("teeth")[:, 1]
    assert teeth.min() < -25 and (np.abs(teeth) < 1).mean() > 0.3  # the upper ones stay


def test_a_blink_closes_the_subjects_left_eye_alone(glb):
    before, after = glb.positions("skin"), glb.positions("skin", eyeBlinkLeft=1)
    length = np.linalg.norm(after - before, axis=1)
    eyes = glb.positions("eyes")
    left, right = (eyes[side].mean(axis=0) for side in (eyes[:, 0] > 0, eyes[:, 0] < 0))
    strong = before[length > 4]
    assert len(strong) > 20
    assert (np.linalg.norm((strong - left)[:, :2], axis=1) < 25).all()
    assert length[np.linalg.norm((before - right)[:, :2], axis=1) < 15].max() < 1
    assert (after - before)[length.argmax(), 1] < -4  # the upper lid comes down


def test_weights_are_those_of_the_face(face, glb):
    names, weights = glb.mesh["extras"]["targetNames"], glb.mesh["weights"]
    assert names[-1] == REST and weights[-1] == 1 and len(names) == 52
    solved = named_shapes(face.model).weights(np.asarray(face.code.expression))
    np.testing.assert_allclose(weights[:-1], solved)
    assert weights[names.index("mouthSmileLeft")] > 0.3  # the astronaut smiles


def test_it_has_the_parts_of_a_head_with_unit_normals(glb):
    assert list(glb.primitives) == ["skin", "eyes", "teeth", "gums_and_tongue", "mouth_lining"]
    for name, primitive in glb.primitives.items():
        normals = glb.array(primitive["attributes"]["NORMAL"])
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
        corners = glb.positions(name)[glb.array(primitive["indices"]).reshape(-1, 3)]
        faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        along = np.einsum("tc,tc->t", faces, normals[glb.array(primitive["indices"]).reshape(-1, 3)[:, 0]])
        assert (along > 0).mean() > 0.95


def test_trimesh_reads_a_textured_head_in_metres_that_looks_along_z(saved, face):
    scene = trimesh.load(saved)
    assert len(scene.geometry) == 5
    size = scene.bounds[1] - scene.bounds[0]
    assert 0.15 < size[0] < 0.35 and 0.2 < size[1] < 0.5
    skin = next(iter(scene.geometry.values()))
    nose = skin.vertices[skin.vertices[:, 2].argmax()]
    assert abs(nose[0]) < 0.02 and nose[2] > 0.09
    picture = np.asarray(skin.visual.material.baseColorTexture.convert("RGB"))
    assert picture.shape == (1024, 1024, 3)
    rows = skin.visual.uv * [1, 1]
    texels = picture[
        np.clip(((1 - rows[:, 1]) * 1024).astype(int), 0, 1023), np.clip((rows[:, 0] * 1024).astype(int), 0, 1023)
    ]
    own = np.clip(face.reflectance, 0, 1)
    np.testing.assert_allclose(texels.mean(axis=0) / 255, own.mean(axis=0), atol=0.05)


def test_the_texture_is_the_reflectance_and_not_the_lit_photo(glb, face):
    view = glb.tree["bufferViews"][glb.tree["images"][0]["bufferView"]]
    content = np.frombuffer(glb.binary, np.uint8, view["byteLength"], view["byteOffset"])
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1]
    own = np.clip(face.reflectance[np.asarray(face.model.regions["nose"])], 0, 1).mean(axis=0)
    model = face.model
    uv = np.asarray(model.uv)[
        np.asarray(model.uv_triangles)[np.asarray(model.regions["nose"])[np.asarray(face.triangles)].all(axis=1)]
    ].reshape(-1, 2)
    column, row = (uv[:, 0] * 1024).astype(int), ((1 - uv[:, 1]) * 1024).astype(int)
    np.testing.assert_allclose(picture[row, column].mean(axis=0) / 255, own, atol=0.04)


def test_a_face_model_without_named_shapes_keeps_its_expression_as_one_target(face, tmp_path):
    renamed = replace(face, model=face.model.replace(name="another"))
    head = head_of(renamed)
    assert head.target_names == (REST,) and [surface.name for surface in head.surfaces] == ["skin", "eyes"]
    file = Glb(renamed.save(tmp_path / "a.glb")[0])
    assert nearest(file.positions("skin", own=True), face.vertices[5000:5100]).max() < 20
    skin = file.positions("skin", own=True) - file.positions("skin")
    assert np.linalg.norm(skin, axis=1).max() > 3
