"""One person of a clip: the numbers of all frames."""

import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

from fml_jax.codes import FaceCode, FinalCode
from fml_jax.face_model.base import BaseModel
from fml_jax.reconstruction import Reconstruction
from fml_jax.reconstruction.final_level import FinalLevel
from fml_jax.reconstruction.levels import with_code, with_final_code


class PersonDelta(NamedTuple):
    """The final level of one person, the same in all frames."""

    geometry: Any  # δ_g, [C_g]
    reflectance: Any  # δ_r, [C_r]
    final: FinalLevel  # that they belong to

    def corrected(self, model: BaseModel) -> BaseModel:
        """The model of this person's faces."""
        return self.final.corrected(model, self.geometry, self.reflectance)


@dataclass(frozen=True)
class ClipFace:
    """One person of a clip, in the T frames that show them; pose and light are in one camera, that of a fixed crop."""

    source: str  # the clip's path
    name: str  # the stem of its files
    index: int  # of the person, 0 is seen longest
    rate: float  # frames a second
    frames: np.ndarray  # [T] numbers, from 0
    times: np.ndarray  # [T] seconds from the first frame of the clip on
    code: FaceCode  # leading axes T; identity and reflectance are the same in all frames
    crop_from_photo: np.ndarray  # [2, 3] affine to the crop of the camera, for all frames
    landmarks68: np.ndarray  # [T, 68, 2] pixels of the frames
    landmark_uncertainty: np.ndarray  # [T, 68] pixels of the frames by which the landmarks are expected to be off
    scores: np.ndarray  # [T] in [0, 1]
    model: BaseModel
    model_version: str
    triangles: np.ndarray  # [F, 3]
    delta: PersonDelta | None = None  # None for faces of the base level alone

    @cached_property
    def shown_model(self) -> BaseModel:
        """The model of this person's faces: with the final level's corrections, if there are any."""
        return self.model if self.delta is None else self.delta.corrected(self.model)

    def at(self, k: int, rgb: UInt8[np.ndarray, "H W 3"]) -> Reconstruction:
        """The face in the k-th of its frames, whose picture is given."""
        count = self.model.vertex_count
        nothing = Reconstruction(
            vertices=np.zeros((count, 3), np.float32),
            triangles=self.triangles,
            reflectance=np.zeros((count, 3), np.float32),
            code=code_at(self.code, k),
            landmarks68=self.landmarks68[k],
            projected=np.zeros((count, 2)),
            box=np.concatenate([self.landmarks68[k].min(axis=0), self.landmarks68[k].max(axis=0)]),
            crop_from_photo=self.crop_from_photo,
            score=float(self.scores[k]),
            reflectance_corrections=np.zeros((count, 3), np.float32),
            model_version=self.model_version,
            source=self.source,
            name=f"{self.name}_{self.frames[k]:06d}",
            index=self.index,
            photo=rgb,
            model=self.model,
        )
        code = code_at(self.code, k)
        if self.delta is None:
            return with_code(nothing, code)
        both = FinalCode(code, self.delta.geometry, self.delta.reflectance, code.illumination)
        return with_final_code(nothing, both, self.delta.final)


def code_at(code: FaceCode, k: int) -> FaceCode:
    """One of several codes."""
    return jax.tree.map(operator.itemgetter(k), code)
