"""The second edition's builder on small meshes: contact, repairs, registration, expressions, reading ICT-FaceKit."""

import numpy as np
import pytest
import scipy.sparse as sparse
from scipy.spatial import ConvexHull

from fml_jax.errors import InputError
from fml_jax.face_model.surfaces import Mesh, vertex_normals
from fml_jax.importers.registration import Points, register, transfer
from third_party.open_face_model.complexions import filled_in
from third_party.open_face_model.contact import Margins, Pair
from third_party.open_face_model.ict_expressions import Units, build_expressions
from third_party.open_face_model.ict_facekit import (
    arkit_combinations,
    arkit_spelling,
    read_face_kit,
    read_obj,
    read_vertices,
)
from third_party.open_face_model.ict_identity import build_identity
from third_party.open_face_model.repairs import Spreader, plausible_combinations, way_out


def _grid(size, spacing=1.0):
    """Vertices [size², 3] of a flat square in z = 0, and its triangles, facing +z."""
    x, y = np.meshgrid(np.arange(size) * spacing, np.arange(size) * spacing)
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(size * size)], axis=1)
    here = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).ravel()
    quads = np.stack([here, here + 1, here + size + 1, here + size], axis=1)
    return vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]), quads


def _links(quads, count):
    sides = np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2)
    both = np.concatenate([sides, sides[:, ::-1]])
    links = sparse.csr_matrix((np.ones(len(both)), both.T), (count, count))
    links.data[:] = 1
    return links


class TestContact:
    def test_depth_is_measured_under_the_surface_and_not_beside_or_above_it(self):
        surface, triangles, _ = _grid(9)
        points = np.array([[4.2, 4.1, -0.7], [4.2, 4.1, 0.7], [20.0, 4.0, -0.7], [-0.5, 4.0, -0.2]])
        pair = Pair("lips", len(surface) + np.arange(4), triangles)
        depths, out = pair.depths(np.concatenate([surface, points]))
        np.testing.assert_allclose(depths, [0.7, 0, 0, 0], atol=1e-9)
        np.testing.assert_allclose(out[0], [0, 0, 1], atol=1e-9)

    def test_crossed_lids_are_as_deep_as_they_cross(self):
        margins = Margins(np.array([0, 1]), np.array([[0.0, 1, 0]]))
        assert margins.depths(np.array([[0, 3.0, 0], [0, 1, 0]]))[0].max() == 0
        depths, back = margins.depths(np.array([[0, 1.0, 0], [0, 3, 0]]))
        np.testing.assert_allclose(depths, [2, 2])
        np.testing.assert_allclose(back, [[0, 1, 0], [0, -1, 0]])

    def test_the_way_out_lessens_the_depth_and_fades_around(self):
        surface, triangles, quads = _grid(9)
        upper, _, _ = _grid(9)
        vertices = np.concatenate([surface, upper + [0, 0, 0.2]])
        vertices[81 + 40, 2] = -0.8
        links = sparse.block_diag([_links(quads, 81)] * 2).tocsr()
        laplacian = sparse.diags(np.asarray(links.sum(1)).ravel()) - links
        spread = Spreader(np.arange(162), laplacian.tocsr(), 162)
        pairs = [Pair("lips", np.arange(81, 162), triangles)]
        shift = way_out(vertices, pairs, spread)
        assert pairs[0].depths(vertices + shift)[0].max() < 0.6 < pairs[0].depths(vertices)[0].max()
        assert shift[81 + 40, 2] > 2 * abs(shift[81, 2]) and np.abs(shift[:81]).max() == 0
        assert way_out(vertices + np.repeat([[0, 0, 0], [0, 0, 5]], 81, axis=0), pairs, spread) is None


class TestRegistration:
    def test_a_stretched_head_finds_its_target_and_carries_values(self):
        rng = np.random.default_rng(0)
        directions = rng.normal(size=(1500, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        triangles = ConvexHull(directions).simplices
        a, b, c = directions[triangles].transpose(1, 0, 2)
        flipped = np.einsum("tc,tc->t", np.cross(b - a, c - a), a) < 0
        triangles[flipped] = triangles[flipped][:, ::-1]
        source = Mesh(60 * directions, triangles)
        target = Mesh(60 * directions * [1.15, 0.9, 1.05] + [3, 0, 0], triangles)
        landmarks = np.arange(0, 1500, 75)
        corners = np.repeat(landmarks[:, None], 3, axis=1)
        weights = np.tile([1.0, 0, 0], (len(landmarks), 1))
        landmarks = Points(corners, weights, target.vertices[landmarks])
        found = register(source, target, landmarks, free=np.zeros(len(directions), bool))
        assert np.median(np.linalg.norm(found - target.vertices, axis=1)) < 4
        carry = transfer(Mesh(found, triangles), target.vertices, vertex_normals(target.vertices, triangles))
        assert np.percentile(carry.distance, 95) < 0.8
        height = carry(source.vertices[:, 1:2])[:, 0]
        assert np.corrcoef(height, target.vertices[:, 1])[0, 1] > 0.99


class TestExpressions:
    @pytest.fixture
    def built(self):
        rng = np.random.default_rng(1)
        names = [f"unit{k}" for k in range(6)] + ["jawOpen", "mouthClose", "browInnerUpLeft", "browInnerUpRight"]
        names += [f"makehuman-{k}" for k in range(5)]
        units = Units(names, rng.normal(size=(len(names), 40, 3)))
        return units, build_expressions(units, 40, count=12)

    def test_named_shapes_are_in_the_span(self, built):
        units, expression = built
        rebuilt = np.tensordot(expression.arkit_codes, expression.modes, 1)
        for name, shape in zip(expression.arkit_names, rebuilt, strict=True):
            wanted = units.shapes[[k for k, unit in enumerate(units.names) if unit.startswith(name)]].sum(0)
            np.testing.assert_allclose(shape, wanted, atol=1e-6)

    def test_modes_are_combinations_of_units_and_fall_in_strength(self, built):
        units, expression = built
        np.testing.assert_allclose(np.tensordot(expression.combinations, units.shapes, 1), expression.modes, atol=1e-9)
        assert np.all(np.diff(expression.sigma) <= 1e-9)

    def test_left_and_right_of_arkits_single_units_are_joined(self):
        names = ["browInnerUpLeft", "browInnerUpRight", "cheekRaiserLeft", "jawOpen"]
        assert arkit_combinations(names) == {"browInnerUp": [0, 1], "jawOpen": [3]}

    def test_combinations_close_only_open_mouths(self):
        names = ["jawOpen", "mouthClose"] + [
            f"{unit}{side}"
            for unit in ("eyeWide", "eyeBlink", "eyeSquint", "eyeLookUp", "eyeLookDown", "eyeLookIn", "eyeLookOut")
            for side in ("Left", "Right")
        ]
        weights = plausible_combinations(names, count=50)
        assert (weights[:, 0] >= weights[:, 1]).all() and weights[:, 1].max() > 0


def test_identity_has_no_size_and_its_followers_follow():
    rng = np.random.default_rng(2)
    base, mode = rng.normal(size=(30, 3)) * 10, rng.normal(size=(30, 3))
    heads = np.stack([(base + w * mode) * rng.uniform(0.8, 1.2) for w in rng.normal(size=200)]).astype(np.float32)
    weights = np.r_[np.ones(20), np.zeros(10)]
    built = build_identity(heads, weights, np.arange(20), count=2)
    assert built.variance_explained > 0.999 and built.sigma[0] > 5 * built.sigma[1]
    direction = built.modes[0] / np.linalg.norm(built.modes[0, :20])
    moved = mode - base * (mode[:20] * base[:20]).sum() / (base[:20] ** 2).sum()
    assert np.abs(np.corrcoef(direction[20:].ravel(), moved[20:].ravel())[0, 1]) > 0.8


def test_doubtful_vertices_take_values_from_around():
    vertices, _, quads = _grid(7)
    values = vertices[None, :, :1].copy()
    doubtful = np.zeros(49, bool)
    doubtful[[24, 25, 17]] = True
    spoilt = values.copy()
    spoilt[:, doubtful] = 99
    np.testing.assert_allclose(filled_in(spoilt, _links(quads, 49), doubtful), values, atol=1e-3)


class TestReadingFaceKit:
    def test_spelling(self):
        assert arkit_spelling("eyeBlink_L") == "eyeBlinkLeft" and arkit_spelling("jawOpen") == "jawOpen"

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(InputError, match="ict.npz.*--ict"):
            read_face_kit(tmp_path / "ict.npz")

    def test_an_incomplete_clone_is_named(self, tmp_path):
        (tmp_path / "vertex_indices.json").write_text('{"idx_to_landmark_verts": []}')
        with pytest.raises(InputError, match="generic_neutral_mesh.obj"):
            read_face_kit(tmp_path)
        (tmp_path / "generic_neutral_mesh.obj").write_text("v 0 0 0\n")
        with pytest.raises(InputError, match="identity000.obj"):
            read_face_kit(tmp_path)

    def test_the_folder_and_the_file_hold_the_same(self, shared):
        folder = shared / "face_models/ict_facekit_subset/FaceXModel"
        vertices, uv, quads, uv_quads = read_obj(folder / "generic_neutral_mesh.obj")
        kit = read_face_kit(shared / "face_models/ict_facekit.npz")
        np.testing.assert_allclose(10 * vertices, kit.neutral, atol=1e-3)
        assert np.array_equal(quads, kit.quads) and np.array_equal(uv_quads, kit.uv_quads)
        np.testing.assert_allclose(uv, kit.uv, atol=1e-5)
        for name in ("jawOpen", "eyeBlink_L"):
            shape = 10 * (read_vertices(folder / f"{name}.obj") - vertices)
            np.testing.assert_allclose(shape, kit.shape(name), atol=0.02)
