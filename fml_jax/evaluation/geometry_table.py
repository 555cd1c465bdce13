"""Table "geometry": faces against known surfaces, by distances after alignment and after correspondence.

The distance after closest-point alignment is small wherever surfaces lie on each other, also where a nose lies on a
cheek. So the table also has the distance of points that correspond: the open model's vertices, whose true places are
known by non-rigid registration (scans) or for certain (renders).
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import cv2
import numpy as np

from fml_jax.errors import InputError
from fml_jax.evaluation.comparison import MATCHED, compare
from fml_jax.evaluation.eos_peer import Eos
from fml_jax.evaluation.face_meshes import FaceMesh, inner_landmarks, nearest_in_span, of_mediapipe, of_model
from fml_jax.evaluation.figures import caption, heat_colours, heat_scale, stacked, write_picture
from fml_jax.evaluation.job import Job
from fml_jax.evaluation.kept_rows import Row
from fml_jax.evaluation.known_pictures import KnownPicture, corpus_pictures, key_of, scan_pictures
from fml_jax.evaluation.levels import levels_of
from fml_jax.evaluation.peers import PeerMeshes, open_peers
from fml_jax.evaluation.scan_renders import heat_picture, in_model_space
from fml_jax.evaluation.scans import compared
from fml_jax.evaluation.table import Part, Table
from fml_jax.face_model.base import kept_vertices
from fml_jax.face_model.surfaces import Mesh
from fml_jax.files import output_folder
from fml_jax.reconstruction.reconstruction import Reconstruction

NAME = "geometry"
PICTURES = "renders"  # folder of the pictures, for other programs
_MOST_HEAT = 4.0  # mm
_CELL = 200  # pixels
_MOST_SHOWN = 16  # faces


class Surfaces:
    """Measures pictures of known surfaces."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._free: dict[str, dict[str, np.ndarray]] = {}

    @cached_property
    def _kept(self) -> np.ndarray:
        """The network's vertices that its face model has at detail "face"."""
        whole = self._job.reconstructor.model
        return kept_vertices(whole, whole.regions["face"])

    def __call__(self, case: KnownPicture) -> Row:
        """The distances of each level, of the mean face, of the best in the span, and of MediaPipe's mesh."""
        levels = {name: compare(case.model, case.known, face) for name, face in self._faces(case)}
        heat = {name: np.round(found.distances.scan_to_mesh, 2) for name, found in levels.items()} if case.shown else {}
        return {
            "picture": case.name,
            "group": case.group,
            "face": case.known.name,
            "levels": {name: found.sums for name, found in levels.items()},
            "heat": heat,
        }

    def _faces(self, case: KnownPicture) -> Iterator[tuple[str, FaceMesh]]:
        known = case.known
        if known.name not in self._free:
            self._free = {known.name: self._without_network(case)}
        for name, vertices in self._free[known.name].items():
            yield name, _of_model(case, vertices)
        box = None
        found = self._reconstructed(case.rgb)
        if found is not None:
            box = tuple(found.box.tolist())
            for name, face in levels_of(found, refined=self._job.refine):
                yield name, self._of_network(case, face)
        peer = of_mediapipe(case.model, case.rgb, box, registered=known.registered, members=compared(case.model))
        if peer is not None:
            yield "MediaPipe's mesh", peer

    def _without_network(self, case):
        span = nearest_in_span(case.model, case.known.registered, compared(case.model))
        whose = "" if self._is_of_network(case) else "open model: "
        return {f"{whose}mean face": np.asarray(case.model.mean, np.float64), f"{whose}best in span": span}

    def _is_of_network(self, case):
        return case.model.name == self._job.reconstructor.model.name

    def _reconstructed(self, rgb) -> Reconstruction | None:
        try:
            return self._job.reconstructor(rgb)[0]
        except InputError:
            return None

    def _of_network(self, case, face) -> FaceMesh:
        if self._is_of_network(case):
            return _of_model(case, face.vertices[self._kept])
        vertices = np.asarray(face.vertices, np.float64)
        return FaceMesh(Mesh(vertices, face.triangles), inner_landmarks(face.model, vertices), None, None)


def _of_model(case: KnownPicture, vertices: np.ndarray) -> FaceMesh:
    return of_model(case.model, vertices, registered=case.known.registered, members=compared(case.model))


class Peer:
    """Measures the meshes of another program."""

    def __init__(self, peer: PeerMeshes) -> None:
        self._peer = peer

    def __call__(self, case: KnownPicture) -> Row | None:
        """The distances of its mesh of a picture; None if it has none."""
        face = self._peer.face(case.name)
        return None if face is None else {"picture": case.name, **compare(case.model, case.known, face).sums}


def geometry_table(
    job: Job,
    scans: Sequence[str],
    corpus: str | None,
    *,
    views: int,
    meshes: Sequence[str] = (),
    eos: Sequence[str] = (),
) -> Table:
    """Measures pictures of scans, and renders of a corpus that stores its true surfaces.

    Args:
      scans: files and folders of meshes in mm.
      corpus: folder that `fml-prepare --layout=synthetic` made, with --beyond or not.
      views: pictures of each scan, at most twenty.
      meshes: folders of other programs' meshes of these pictures.
      eos: files of a model that eos-py fits to these pictures; see `eos_peer.Eos`.

    Raises:
      InputError: data are missing or cannot be read, or files cannot be written.
    """
    peers, fitter = open_peers(meshes), Eos(eos) if eos else None
    cases = [*scan_pictures(scans, job.output, views=views), *corpus_pictures(corpus, job.count, job.face_model)]
    if not cases:
        raise InputError("--tables=geometry: give --scans=FOLDER, --synthetic=CORPUS or both")
    for case in cases:
        write_picture(output_folder(job.output / PICTURES) / f"{case.name}.png", case.rgb)
    rows = job.rows(NAME).measured(cases, Surfaces(job), key=key_of, unit="picture")
    written = fitter and fitter.write_meshes(cases, job.output)
    for peer in [*peers, *(open_peers([str(written)]) if written else [])]:
        kept = job.rows(f"{NAME}_{peer.name}", meshes=peer.contents())
        found = kept.measured(cases, Peer(peer), key=key_of, unit="mesh")
        _add_levels(rows, peer.name, found)
    return _table(rows, {case.known.name: case for case in reversed(cases)})


def _add_levels(rows: Sequence[Row], name: str, found: Sequence[Row]) -> None:
    by_picture = {row["picture"]: {key: value for key, value in row.items() if key != "picture"} for row in found}
    for row in rows:
        if row["picture"] in by_picture:
            row["levels"][name] = by_picture[row["picture"]]


def _table(rows: Sequence[Row], cases: dict[str, KnownPicture]) -> Table:
    flat = [
        {"picture": row["picture"], "face": row["face"], "level": level, **numbers}
        for row in rows
        for level, numbers in row["levels"].items()
    ]
    groups = dict.fromkeys(row["group"] for row in rows)
    parts = [_sums(group, [row for row in rows if row["group"] == group]) for group in groups]
    note = (
        "mm in the scan's size, after a similarity by landmarks and closest points of the scan's face region (the "
        "open model's face without the eyes, where the scan lies within 5 mm of it). Corresponding points are compared "
        "after the similarity that fits them best. The mean face and the best in the span are rows without a network; "
        "on scans those of the open model."
    )
    return Table(NAME, "Geometry against known surfaces", note, parts, flat, _sheet(rows, cases))


def _sums(group: str, rows: Sequence[Row]) -> Part:
    """Means over pictures."""
    columns = [
        "scan to mesh, mean",
        "… median",
        "… SD",
        "… RMS",
        "mesh to scan, mean",
        "… RMS",
        "Hausdorff 95 %",
        MATCHED,
    ]
    names = [
        *(f"scan to mesh, {each}" for each in ("mean", "median", "SD", "RMS")),
        *(f"mesh to scan, {each}" for each in ("mean", "RMS")),
        "Hausdorff 95 %",
        MATCHED,
    ]
    levels = dict.fromkeys(level for row in rows for level in row["levels"])
    lines = []
    for level in levels:
        numbers = [row["levels"][level] for row in rows if level in row["levels"]]
        means = [f"{np.mean([each[name] for each in numbers]):.2f}" for name in names]
        lines.append((level, len(numbers), *means))
    faces = len({row["face"] for row in rows})
    return Part(f"{group}, {faces} faces, {len(rows)} pictures, mm", ("", "pictures", *columns), lines)


def _sheet(rows: Sequence[Row], cases: dict[str, KnownPicture]) -> np.ndarray | None:
    """A line of pictures for each face: the picture, and the heat maps of its levels."""
    lines = []
    for row in [row for row in rows if row["heat"]][:_MOST_SHOWN]:
        case = cases[row["face"]]
        picture = cv2.resize(case.rgb, (_CELL, _CELL), interpolation=cv2.INTER_AREA)
        cells = [np.concatenate([picture, caption(row["picture"], _CELL)])]
        mesh = Mesh(in_model_space(case.known.pose, case.known.mesh.vertices), case.known.mesh.triangles)
        for level, values in row["heat"].items():
            of_all = np.full(len(mesh.vertices), np.nan)
            of_all[case.known.region] = values
            heat = heat_picture(mesh, heat_colours(of_all, _MOST_HEAT), _CELL)
            cells.append(np.concatenate([heat, caption(f"{level}: {np.mean(values):.2f} mm", _CELL)]))
        lines.append(np.concatenate(cells, axis=1))
    return stacked([*lines, heat_scale(_MOST_HEAT, "mm", 3 * _CELL)]) if lines else None
