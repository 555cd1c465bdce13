"""Pictures of scans: the open model's reflectance on the scan, and the rest of the model's head behind it.

Five turns of the head and four lights. Beside where the scan ends, the picture shows the head that was registered to
it. Within the scan's reach that head is drawn a little deeper, so that the face is the scan's own.
"""

import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.evaluation.scans import Registration
from fml_jax.face_model.base import BaseModel
from fml_jax.face_model.surfaces import Mesh, SurfaceSearch, at, closest_on_surface, vertex_normals
from fml_jax.fitting.surface_fit import Pose
from fml_jax.image_formation.plain_pictures import View, render

YAWS = (0, -40, 40, -20, 20)  # degrees, to the subject's left
LIGHTS = {"front": (-0.2, 0.3, 1.0), "left": (-1.0, 0.2, 0.6), "right": (1.0, 0.2, 0.6), "above": (0.1, 1.0, 0.7)}
_REACH = 6.0  # mm within which the head behind is that of the scan
_DEEPER = 4.0  # mm
_SIZE = 360  # pixels


class ScanView(NamedTuple):
    """One picture of a scan."""

    yaw: int
    light: str

    def __str__(self) -> str:
        return f"yaw{self.yaw:+d}_{self.light}"


class Head(NamedTuple):
    """What pictures of a scan show, in model space."""

    mesh: Mesh
    colours: Float[np.ndarray, "N 3"]


def chosen_views(count: int) -> list[ScanView]:
    """So many of the twenty views, turns and lights mixed; the first has the frontal light and pose."""
    lights = list(LIGHTS)
    order = [ScanView(yaw, lights[(k + turn) % 4]) for turn in range(4) for k, yaw in enumerate(YAWS)]
    return order[:count]


def dressed_scan(model: BaseModel, name: str, mesh: Mesh, *, found: Registration) -> Head:
    """A scan with a random reflectance of the model, always the same for a name, and the model's head behind it."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    code = rng.standard_normal(len(model.reflectance))
    skin = np.asarray(model.reflectance_mean) + np.tensordot(code, np.asarray(model.reflectance), 1)
    skin = np.clip(skin, 0.01, 1).astype(np.float64)
    triangles = np.asarray(model.topology.triangles)
    corners, weights = closest_on_surface(mesh.vertices, found.bent, triangles)
    near = SurfaceSearch(*mesh).distances(found.bent) < _REACH * found.pose.scale
    deeper = found.pose.scale * _DEEPER * near[:, None] * vertex_normals(found.bent, triangles)
    vertices = np.concatenate([mesh.vertices, found.bent - deeper])
    joined = np.concatenate([mesh.triangles, triangles + len(mesh.vertices)])
    colours = np.concatenate([at(skin, corners, weights), skin])
    return Head(Mesh(in_model_space(found.pose, vertices), joined), colours)


def picture_of(head: Head, view: ScanView) -> UInt8[np.ndarray, "S S 3"]:
    """The picture of a view."""
    shown = View(yaw=float(view.yaw), size=_SIZE)
    return render(*head.mesh, head.colours, view=shown, light=LIGHTS[view.light]).image


def heat_picture(mesh: Mesh, colours: Float[np.ndarray, "N 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """A mesh in model space from the front with these colours, under an even light, on white."""
    return render(*mesh, colours, view=View(size=size), ambient=1.0, background=1.0).image


def in_model_space(pose: Pose, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Points in a scan's place, where the model has them; `pose` leads from model space to the scan's."""
    return (points - pose.shift) @ pose.rotation / pose.scale
