"""The energies that training minimises, term by term: eq. 6–15, and supervised losses."""

from fml_jax.losses.data_terms import (
    PAPER_LANDMARKS,
    landmark_energy,
    landmark_residuals,
    photometric_energy,
    photometric_residuals,
)
from fml_jax.losses.energies import BaseWeights, FullWeights, base_energy, full_energy
from fml_jax.losses.final_skin import FinalSkinWeights, known_skin_energy, skin_agreement_energies
from fml_jax.losses.identity import identity_distances, identity_energies
from fml_jax.losses.invariance import ShapeDifferences, invariance_energy
from fml_jax.losses.local_points import LocalWeights, opening_energy, point_distance_energy, point_likelihood_energy
from fml_jax.losses.observation import Observation
from fml_jax.losses.regularisers import statistical_energy
from fml_jax.losses.skin_tone import ToneWeights, exposed, known_tone_energy, tone_agreement_energies
from fml_jax.losses.supervised import (
    SupervisedWeights,
    keypoint_energy,
    keypoint_pixels,
    score_energy,
    supervised_energy,
)

__all__ = [
    "PAPER_LANDMARKS",
    "BaseWeights",
    "FinalSkinWeights",
    "FullWeights",
    "LocalWeights",
    "Observation",
    "SupervisedWeights",
    "ShapeDifferences",
    "ToneWeights",
    "base_energy",
    "exposed",
    "full_energy",
    "identity_distances",
    "identity_energies",
    "keypoint_energy",
    "keypoint_pixels",
    "known_skin_energy",
    "known_tone_energy",
    "photometric_energy",
    "photometric_residuals",
    "point_distance_energy",
    "point_likelihood_energy",
    "score_energy",
    "landmark_energy",
    "landmark_residuals",
    "opening_energy",
    "skin_agreement_energies",
    "invariance_energy",
    "statistical_energy",
    "supervised_energy",
    "tone_agreement_energies",
]
