"""A raw model → the arrays of the project's model file, with what it lacks carried over from the open model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fml_jax.codes import CodeSizes
from fml_jax.errors import InputError
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.files import load_arkit_codes, load_face_model
from fml_jax.face_model.landmarks import CONTOUR
from fml_jax.face_model.surfaces import Mesh, closest_on_surface
from fml_jax.importers.correspondence import NEAR, Correspondence, find_correspondence, silent
from fml_jax.importers.mouth_parts import carried_parts, ends_at_lips, part_arrays
from fml_jax.importers.raw_model import RawModel

FORMAT_VERSION = 3
PAPERS_SIZES = CodeSizes(80, 64, 80)
_OFF_CENTRE = 20.0  # mm: origins farther from the head's centre are moved there
_FIRST_CORNER = (1.0, 0.0, 0.0)  # weights of a point on a vertex
_LEAST_FACE = 200  # vertices that a face region has
# Named shapes as codes: what a mean squared displacement of 1 mm² is worth against Σ code².
_SHAPE_STRENGTH = 1000.0


class Converted(NamedTuple):
    """A model file's arrays, and what was carried over or left out, one fact a line."""

    arrays: dict[str, np.ndarray]
    report: tuple[str, ...]


def convert(
    raw: RawModel,
    landmarks: np.ndarray | None = None,
    sizes: CodeSizes = PAPERS_SIZES,
    *,
    licence: str = "",
    note: Callable[[str], None] = silent,
) -> Converted:
    """The model file of a raw model.

    Args:
      landmarks: [68] vertices, −1 where unknown, in place of the carried ones; the model's own do not replace these.
      sizes: at most so many modes are kept, the first ones; 0 keeps all.
      licence: a line for the file.
      note: called with a word before each of `correspondence.STEPS`.

    Raises:
      InputError: the open model's face does not fit on the mean, so that the axes, the unit or the mesh must be wrong.
    """
    open_model = load_face_model()
    report = [f"{len(raw.mean)} vertices, {len(raw.triangles)} triangles", *raw.notes]
    own = raw.landmarks68 if landmarks is None else landmarks
    try:
        found = find_correspondence(open_model, raw.mean, raw.triangles, landmarks68=own, note=note)
    except InputError as error:
        raise InputError(f"{raw.name}: {error}, or give --landmarks") from None
    _check_fit(raw, open_model, found, report)
    modes = _modes(raw, open_model, found, sizes, report=report)
    reflectance_mean, reflectance = _reflectance(raw, open_model, found, sizes.reflectance, report=report)
    embedded = _landmarks(raw, open_model, found, own, overrides=landmarks is not None, report=report)
    names, codes = _named_shapes(raw, open_model, found, modes["expression"], report=report)
    uv, uv_triangles = _texture_coordinates(raw, report)
    regions = {name: _mask(found, np.asarray(mask)) for name, mask in open_model.regions.items()}
    there = [name for name, mask in regions.items() if mask.any()]
    report.append(f"masks are carried over from the open model: {', '.join(there)}")
    if absent := regions.keys() - set(there):
        report.append(f"the mesh has no {', '.join(sorted(absent))}")
    origin = _origin(raw, found, report)
    lips = regions["lips"] | regions["mouth"]
    parts = _mouth_parts(raw, open_model, found, modes, lips=lips, origin=origin, report=report)
    if regions["face"].sum() < _LEAST_FACE:
        raise InputError(f"{raw.name}: {regions['face'].sum()} of its vertices are on the face, too few to train with")
    arrays: dict[str, Any] = {
        "format_version": np.array(FORMAT_VERSION),
        "name": np.array(raw.name[:60].replace(",", " ")),
        "licence": np.array(licence),
        "mean": (raw.mean - origin).astype(np.float32),
        **modes,
        "triangles": raw.triangles.astype(np.int32),
        "reflectance_mean": reflectance_mean,
        "reflectance": reflectance,
        "uv": uv.astype(np.float32),
        "uv_triangles": uv_triangles.astype(np.int32),
        "region_names": np.array(list(regions)),
        "regions": np.stack(list(regions.values())),
        "arkit_names": np.array(names, str) if names else np.zeros(0, "U1"),
        "arkit_codes": codes.astype(np.float32),
        **embedded,
        **parts,
    }
    return Converted(arrays, tuple(report))


def _check_fit(raw: RawModel, open_model: BaseModel, found: Correspondence, report: list[str]) -> None:
    face = np.asarray(open_model.regions["face"])
    corners, weights = closest_on_surface(found.bent[face], raw.mean.astype(np.float64), raw.triangles)
    distance = np.linalg.norm((raw.mean[corners] * weights[..., None]).sum(1) - found.bent[face], axis=1)
    off = float(np.median(distance))
    if not off < NEAR / 4:
        raise InputError(
            f"{raw.name}: the open model's face does not fit on its mean face (median distance {off:.1f} mm); check "
            "the source's axes, or give --landmarks"
        )
    report.append(
        f"the open model is registered to the mean face: {off:.2f} mm median distance, {distance.mean():.2f} mm mean"
    )


def _kept(modes: np.ndarray, count: int, kind: str, report: list[str]) -> np.ndarray:
    """The first modes; the report has their share of the variance."""
    if not count or len(modes) <= count:
        report.append(f"{len(modes)} modes of {kind}, all that there are")
        return modes
    strength = (modes.astype(np.float64) ** 2).sum(axis=(1, 2))
    share = strength[:count].sum() / max(strength.sum(), 1e-30)
    report.append(f"{count} of {len(modes)} modes of {kind} are kept, with {100 * share:.2f}% of the variance")
    return modes[:count]


def _modes(raw, open_model, found, sizes, *, report):
    identity = _kept(raw.identity, sizes.identity, "identity", report)
    if raw.expression is not None:
        expression = _kept(raw.expression, sizes.expression, "expression", report)
    else:
        count = sizes.expression or None
        expression = found.displacements(np.asarray(open_model.expression)[:count])
        report.append(f"no expressions: {len(expression)} modes are carried over from the open model")
    return {"identity": identity.astype(np.float32), "expression": expression.astype(np.float32)}


def _reflectance(raw, open_model, found, count, *, report):
    if raw.reflectance_mean is not None and raw.reflectance is not None:
        kept = _kept(raw.reflectance, count, "reflectance", report)
        return raw.reflectance_mean.astype(np.float32), kept.astype(np.float32)
    modes = found.carried(np.asarray(open_model.reflectance)[: count or None])
    report.append(f"no reflectance: its mean and {len(modes)} modes are carried over from the open model")
    return found.carried(np.asarray(open_model.reflectance_mean)).astype(np.float32), modes.astype(np.float32)


def _landmarks(raw, open_model, found, own, *, overrides, report):
    """MediaPipe's 478, the contour by yaw and its candidates, on the mesh."""
    fixed = open_model.landmarks
    mean = raw.mean.astype(np.float64)

    def on_mesh(corners, weights):
        corners, weights = np.asarray(corners), np.asarray(weights, np.float64)
        points = (found.bent[corners] * weights[..., None]).sum(-2).reshape(-1, 3)
        there, shares = closest_on_surface(points, mean, raw.triangles)
        return there.reshape(corners.shape), shares.reshape(corners.shape)

    vertices, weights = on_mesh(fixed.fixed_vertices, fixed.fixed_weights)
    contour_vertices, contour_weights = on_mesh(fixed.contour_vertices, fixed.contour_weights)
    numbers = np.asarray(fixed.ibug_from_mediapipe)
    report.append("MediaPipe's 478 landmarks and the sliding contour are carried over from the open model")
    known = np.flatnonzero(own >= 0) if own is not None else np.zeros(0, int)
    inner = known[known >= CONTOUR]
    if len(inner):
        rows = numbers[inner]
        gaps = np.linalg.norm((mean[vertices[rows]] * weights[rows][..., None]).sum(1) - mean[own[inner]], axis=1)
        report.append(
            f"{len(inner)} of its own inner landmarks lie {gaps.mean():.1f} mm from the carried ones as a mean "
            "(conventions differ)"
        )
    if overrides:
        vertices[numbers[inner]], weights[numbers[inner]] = own[inner, None], _FIRST_CORNER
        front = int(np.abs(np.asarray(fixed.contour_yaws)).argmin())
        outer = known[known < CONTOUR]
        contour_vertices[front, outer], contour_weights[front, outer] = own[outer, None], _FIRST_CORNER
        report.append(f"{len(known)} landmarks of the landmark file replace the carried ones")
    elif len(inner):
        report.append("the carried landmarks are kept, since training compares them with MediaPipe's")
    candidates = np.zeros(len(found.bent), bool)
    candidates[np.asarray(fixed.candidates)] = True
    return {
        "landmarks478_vertices": vertices.astype(np.int32),
        "landmarks478_weights": weights.astype(np.float32),
        "landmarks68_from_478": numbers.astype(np.int32),
        "contour_yaws": np.asarray(fixed.contour_yaws),
        "contour_vertices": contour_vertices.astype(np.int32),
        "contour_weights": contour_weights.astype(np.float32),
        "contour_candidates": _candidates(_mask(found, candidates), contour_vertices),
    }


def _candidates(mask, contour):
    """Vertices that a contour may run along; those of the stored contours where the mask is empty."""
    mask = mask.copy()
    mask[contour.ravel()] = True
    return np.flatnonzero(mask).astype(np.int32)


def _mask(found: Correspondence, mask: np.ndarray) -> np.ndarray:
    return (found.carry @ mask.astype(np.float64) > 0.5) & found.near


def _named_shapes(raw, open_model, found, expression, *, report):
    """ARKit's names, and codes of the model's expression modes."""
    if raw.named_shapes is not None:
        names, codes = raw.named_shapes
        if codes.shape[1] != len(expression):
            left = codes[:, len(expression) :]
            whole = ~left.any(axis=1)
            names, codes = tuple(np.array(names)[whole]), codes[whole, : len(expression)]
        report.append(f"{len(names)} named shapes of its own")
        return names, codes
    of_open = load_arkit_codes()
    if raw.expression is None:
        codes = np.stack(list(of_open.values()))[:, : len(expression)]
        report.append(f"{len(of_open)} named shapes (ARKit's) come with the carried expressions")
        return tuple(of_open), codes
    face = _mask(found, np.asarray(open_model.regions["face"]))
    shapes = np.tensordot(np.stack(list(of_open.values())), np.asarray(open_model.expression), 1)
    wanted = found.displacements(shapes)[:, face].reshape(len(shapes), -1).astype(np.float64)
    columns = expression[:, face].reshape(len(expression), -1).astype(np.float64)
    per_vertex = _SHAPE_STRENGTH / face.sum()
    normal = per_vertex * columns @ columns.T + np.eye(len(columns))
    codes = np.linalg.solve(normal, per_vertex * columns @ wanted.T).T
    left = np.sqrt(((wanted - codes @ columns) ** 2).sum() / (wanted**2).sum())
    report.append(
        f"{len(of_open)} named shapes (ARKit's) are the nearest of its own expressions to the open model's; "
        f"{100 * left:.0f}% of their displacement is left"
    )
    return tuple(of_open), codes


def _mouth_parts(raw, open_model, found, modes, *, lips, origin, report):
    """The arrays of the open model's teeth, tongue and lining of the mouth; none where there is no hole at the lips."""
    if not ends_at_lips(raw.triangles, lips):
        report.append("the mesh has no hole at the lips: no teeth, tongue and lining of the mouth are carried over")
        return {}
    report.append("the mesh ends at the lips: the open model's teeth, tongue and lining of the mouth are carried over")
    parts = carried_parts(open_model, found, Mesh(raw.mean.astype(np.float64), raw.triangles), **modes)
    return part_arrays({name: part._replace(mean=part.mean - np.float32(origin)) for name, part in parts.items()})


def _texture_coordinates(raw, report):
    """The model's own, or a cylinder around the head, cut at the back."""
    if raw.uv is not None and raw.uv_triangles is not None:
        report.append("texture coordinates are its own")
        return _one_vertex_each(raw.uv, raw.uv_triangles, raw.triangles)
    report.append("no texture coordinates: a cylinder around the head, cut at the back")
    x, y, z = raw.mean.astype(np.float64).T
    behind = np.percentile(z, 5) + 0.35 * (np.percentile(z, 95) - np.percentile(z, 5))
    u = np.arctan2(x - np.median(x), z - behind) / (2 * np.pi) + 0.5
    v = (y - y.min()) / max(np.ptp(y), 1e-6)
    crosses = np.ptp(u[raw.triangles], axis=1) > 0.5
    # Triangles across the cut take the vertices' places on the right border.
    seam = np.unique(raw.triangles[crosses][u[raw.triangles[crosses]] < 0.5]) if crosses.any() else np.zeros(0, int)
    of_vertex = np.arange(len(u))
    of_seam = of_vertex.copy()
    of_seam[seam] = len(u) + np.arange(len(seam))
    corners = np.where(crosses[:, None], of_seam[raw.triangles], raw.triangles)
    uv = np.concatenate([np.stack([u, v], 1), np.stack([np.ones(len(seam)), v[seam]], 1)])
    return uv, corners


def _one_vertex_each(uv, uv_triangles, triangles):
    """Texture coordinates and triangles of them; those that several vertices share are there once for each."""
    pairs, corners = np.unique(np.stack([uv_triangles.ravel(), triangles.ravel()], 1), axis=0, return_inverse=True)
    if len(pairs) == len(np.unique(pairs[:, 0])):
        return uv, uv_triangles
    return uv[pairs[:, 0]], corners.reshape(-1, 3)


def _origin(raw, found, report):
    """[3] mm: the point that becomes the origin; the layout's own where that is near the head's centre."""
    if np.linalg.norm(found.pose.shift) <= _OFF_CENTRE:
        return np.zeros(3)
    moved = np.rint(found.pose.shift)
    report.append(f"the origin is moved to the head's centre, by {', '.join(f'{number:.0f}' for number in moved)} mm")
    return moved
