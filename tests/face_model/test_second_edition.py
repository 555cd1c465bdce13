"""The second edition's file: details, named shapes, parts, landmarks; lips and lids that stay apart."""

import numpy as np
import pytest

from fml_jax.errors import InputError
from fml_jax.face_model import landmarks68, load_arkit_shapes, load_face_model, load_face_parts
from fml_jax.face_model.files import OPEN_MODEL, read_arrays
from third_party.open_face_model.contact import contact_pairs_of, deepest
from third_party.open_face_model.openings import LID_MARGIN_RING, find_openings
from third_party.open_face_model.repairs import plausible_combinations

# ICT-FaceKit's own landmarks 31–47 (nostrils and eyes), vertices of the standard mesh.
ICT_LANDMARKS = (
    [1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732]
)  # fmt: skip
PASSING = 0.5  # mm


@pytest.fixture(scope="module")
def arrays():
    return read_arrays(OPEN_MODEL)


@pytest.fixture(scope="module")
def shapes():
    return load_arkit_shapes(OPEN_MODEL)


@pytest.fixture(scope="module")
def openings(arrays):
    eyes = dict(zip(arrays["region_names"].tolist(), arrays["regions"], strict=True))["eyes"]
    quads = arrays["quads"].astype(int)
    return find_openings(arrays["mean"][~eyes], quads[~eyes[quads].all(1)])


def test_details_have_the_papers_sizes():
    counts = {d: load_face_model(OPEN_MODEL, d).vertex_count for d in ("standard", "face", "fine")}
    assert counts["standard"] == 11_760 and 5_500 < counts["face"] < 9_500 and 28_000 < counts["fine"] < 40_000
    assert load_face_model(OPEN_MODEL).code_sizes == (80, 64, 80)
    assert OPEN_MODEL.stat().st_size < 14e6


@pytest.mark.parametrize("detail", ["standard", "face", "fine"])
def test_no_vertex_has_many_edges(detail):
    """Tables of neighbours are as wide as the largest number of edges."""
    triangles = np.asarray(load_face_model(OPEN_MODEL, detail).topology.triangles)
    edges = np.unique(np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    assert np.bincount(edges.ravel()).max() <= 10


def test_regions_have_the_first_editions_names_and_the_mouth(arrays):
    first = set(read_arrays(OPEN_MODEL)["region_names"].tolist())
    regions = dict(zip(arrays["region_names"].tolist(), arrays["regions"], strict=True))
    assert set(regions) == first | {"mouth"}
    for other in ("brows", "lips", "eyes", "scalp", "beard", "ears", "neck", "mouth"):
        assert not (regions["skin"] & regions[other]).any(), other


def test_named_shapes_are_the_first_editions(shapes):
    assert set(shapes) == set(load_arkit_shapes())
    assert shapes["jawOpen"][:, 1].min() < -20


def test_a_blink_closes_the_eye(arrays, shapes, openings):
    for side, eye in zip(("Left", "Right"), openings.eyes, strict=True):
        closed = arrays["mean"] + shapes[f"eyeBlink{side}"]
        upper, lower = (closed[eye.grid[LID_MARGIN_RING, columns]] for columns in (eye.upper, eye.lower))
        assert np.linalg.norm(upper - lower, axis=1).max() < PASSING


def test_a_gaze_turns_the_eyeball_and_leaves_its_size(arrays, shapes):
    eyes = np.flatnonzero(dict(zip(arrays["region_names"].tolist(), arrays["regions"], strict=True))["eyes"])
    left, _ = np.split(eyes, 2)
    pole = left[:32]  # the innermost ring
    assert shapes["eyeLookUpLeft"][pole, 1].mean() > 4 and shapes["eyeLookDownLeft"][pole, 1].mean() < -4
    assert shapes["eyeLookOutLeft"][pole, 0].mean() > 4 and shapes["eyeLookInLeft"][pole, 0].mean() < -4
    for name in ("eyeLookUpLeft", "eyeLookInLeft"):
        before, after = arrays["mean"][left], arrays["mean"][left] + shapes[name][left]
        assert abs(np.ptp(after, 0)[:2].mean() / np.ptp(before, 0)[:2].mean() - 1) < 0.12


def test_lips_and_lids_stay_apart_in_single_shapes_and_combinations(arrays, shapes):
    pairs, names = contact_pairs_of(arrays), list(shapes)
    stacked = np.stack(list(shapes.values())).astype(float)
    weights = plausible_combinations(names, count=60, seed=5)
    depths = [max(deepest(pairs, arrays["mean"] + np.tensordot(row, stacked, 1)).values()) for row in weights]
    assert max(depths[: 2 * len(names)]) < PASSING
    assert np.mean(np.array(depths) > PASSING) < 0.02 and max(depths) < 5 * PASSING


def test_lips_touch_at_rest(arrays, openings):
    mouth, mean = openings.mouth, arrays["mean"].astype(float)
    assert max(deepest(contact_pairs_of(arrays), mean).values()) < 0.2
    upper = mean[mouth.grid[5:9][:, mouth.upper], 1].min(0)
    lower = mean[mouth.grid[5:9][:, mouth.lower], 1].max(0)
    assert (upper - lower).max() < 0.35


def test_parts_follow_the_jaw_as_teeth_do(arrays):
    parts = load_face_parts(OPEN_MODEL)
    assert set(parts) == {"teeth", "gums_and_tongue", "mouth_lining", "lashes"}
    code = arrays["arkit_codes"][arrays["arkit_names"].tolist().index("jawOpen")]
    for name, part in parts.items():
        assert part.triangles.max() < len(part.mean) == part.reflectance.shape[0] == part.identity.shape[1]
        down = -np.tensordot(code, part.expression, 1)[:, 1]
        if name == "teeth":
            assert np.median(np.sort(down)[-1000:]) > 25 and np.median(np.sort(down)[:1000]) < 1
        if name == "lashes":
            assert np.abs(down).max() < 1


def test_a_file_without_parts_is_named(tmp_path, arrays):
    np.savez(tmp_path / "m.npz", **{name: array for name, array in arrays.items() if not name.startswith("part_")})
    assert load_face_model(tmp_path / "m.npz").vertex_count == len(arrays["mean"])
    with pytest.raises(InputError, match="m.npz.*no teeth"):
        load_face_parts(tmp_path / "m.npz")


def test_landmarks_rest_near_the_sources_own(arrays):
    model = load_face_model(OPEN_MODEL)
    front = np.diag([1.0, -1.0, -1.0])
    mean = np.asarray(model.mean)
    points = np.asarray(landmarks68(model.landmarks, mean, front))
    distance = np.linalg.norm(points[31 : 31 + len(ICT_LANDMARKS)] - mean[ICT_LANDMARKS], axis=1)
    face_size = points[:, 1].max() - points[:, 1].min()
    assert np.median(distance) < 0.03 * face_size
    steps = np.linalg.norm(np.diff(points[:17], axis=0), axis=1)
    assert steps.max() < 3 * steps.min()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"identity_steps": None}, "lacks 'identity_steps'"),
        ({"arkit_codes": np.zeros((51, 3))}, "'arkit_codes' has shape"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path, arrays, changes, message):
    changed = {name: array for name, array in (arrays | changes).items() if array is not None}
    np.savez(tmp_path / "m.npz", **changed)
    with pytest.raises(InputError, match=message):
        load_face_model(tmp_path / "m.npz")
