"""What is known of one face after reconstruction, its pictures and its files."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fml_jax.codes import FaceCode
from fml_jax.face_model.base import BaseModel
from fml_jax.image_formation.rotation import rotation_matrix, turn_angles
from fml_jax.photos.crops import apply_affine, invert_affine


@dataclass(repr=False)
class Reconstruction:
    """One face of one photo.

    Model space is in mm (x to the subject's left, y up, z out of the face); absolute size and
    distance rest on the assumed focal length, which one photo cannot tell.
    """

    vertices: np.ndarray  # [N, 3] mm, model space
    triangles: np.ndarray  # [T, 3]
    reflectance: np.ndarray  # [N, 3] sRGB-encoded, about [0, 1] but not clipped; r_b(β), and F_r where there is one
    code: FaceCode
    landmarks68: np.ndarray  # [68, 2] pixels of the photo
    projected: np.ndarray  # [N, 2] pixels of the photo: the vertices
    box: np.ndarray  # [4] x0, y0, x1, y1, pixels of the photo, as detected or given
    crop_from_photo: np.ndarray  # [2, 3] affine to the crop that the camera belongs to
    score: float  # [0, 1]; under 0.5 the crop does not look like a well-framed face
    reflectance_corrections: np.ndarray  # F_r, [N, 3]: what refinement adds to the code's reflectance; else 0
    model_version: str
    source: str  # the photo's path or name
    index: int  # which face of the photo, 0 the largest
    photo: np.ndarray  # [H, W, 3] uint8
    model: BaseModel

    def __repr__(self) -> str:
        place = ", ".join(f"{number:.0f}" for number in self.box)
        return f"Reconstruction({self.source!r}, face {self.index}, box ({place}), score {self.score:.2f})"

    @property
    def rotation(self) -> np.ndarray:
        """Axis-angle of R, [3] radians; (π, 0, 0) faces the camera."""
        return np.asarray(self.code.rotation)

    @property
    def translation(self) -> np.ndarray:
        """t, [3] mm, in the crop's camera."""
        return np.asarray(self.code.translation)

    @property
    def illumination(self) -> np.ndarray:
        """γ, [9, 3]."""
        return np.asarray(self.code.illumination)

    @cached_property
    def angles(self) -> tuple[float, float, float]:
        """(yaw, pitch, roll) in degrees within the crop, zero facing the camera."""
        return tuple(float(angle) for angle in turn_angles(rotation_matrix(self.code.rotation)))

    def render(self, kind: str = "overlay", size: int | None = None) -> np.ndarray:
        """A picture [size, size, 3] uint8 of the crop; see `reconstruction.pictures`."""
        from fml_jax.reconstruction.pictures import render

        return render(self, kind, size)

    def save(self, folder: str | Path, stem: str | None = None) -> list[Path]:
        """Writes STEM_k.npz, .obj, .ply and _overlay.png into a folder; returns their paths."""
        from fml_jax.export import save_reconstruction

        return save_reconstruction(self, Path(folder), stem or Path(self.source).stem)


def in_photo(crop_from_photo: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Crop pixels [..., 2] as pixels of the photo."""
    return apply_affine(invert_affine(crop_from_photo), np.asarray(points, np.float64))
