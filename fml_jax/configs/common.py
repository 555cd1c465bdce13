"""What every training config begins with; each other file here changes what it is about."""

from ml_collections import ConfigDict

from fml_jax.losses import BaseWeights, FullWeights, SupervisedWeights

# With these every part of a known code weighs about alike in the warm start.
CODE_WEIGHTS = {
    "pixels": 0.5,
    "keypoints": 3.0,
    "rotation": 200.0,
    "depth": 50.0,
    "identity": 3.0,
    "expression": 6.0,
    "reflectance": 1000.0,
    "shading": 30.0,
}


def defaults() -> ConfigDict:
    """A run without stages: `stage_order` names those that `stages` must then hold (see `stage`)."""
    return ConfigDict(
        {
            "seed": 0,
            "encoder": "light",  # light, alexnet or vggface
            "model": "",  # a face model file; empty is the open model
            "reflectance_modes": 0,  # of the model, so many as the base level may use; 0 is all
            "detail": "face",  # standard, face or fine
            # The final level: kind none, linear, relu1 or relu2, how many parameters each space has, and whether
            # geometry may do "all", as in the paper, or only what lies "beyond" the base level's reach.
            "correctives": {"kind": "none", "geometry": 0, "reflectance": 0, "subspace": "all"},
            "data": {"synthetic": "", "synthetic_validation": "", "photos": ""},
            "start_from": "",  # a weights file to begin with, such as fml_jax/reconstruction/open_light.npz
            "stage_order": (),
            "stages": {},
            "model_devices": 1,  # devices that share one copy of the model; the rest split the batch
            "validation_rows": 200,
            "delta_faces": 1000,  # from so many faces the learned model knows how its δ spread
            "log_every": 20,
            "tensorboard": True,  # its files beside metrics.jsonl
            "gradient_norms_every": 0,  # steps between norms of each term's gradient; 0 is never
            "evaluate_every": 500,
            "sheet_every": 500,  # steps between picture sheets of a few held-out crops; 0 is never
            "checkpoint_every": 500,
            "keep_checkpoints": 3,
        }
    )


def stage(steps: int, synthetic: int, photos: int, rate: float) -> ConfigDict:
    """A stage: its length, the rows of a batch from each source, and what they are trained with."""
    return ConfigDict(
        {
            "steps": steps,
            "synthetic": synthetic,  # rows with known codes
            "photos": photos,  # rows with landmarks alone
            "level": "base",  # what is trained on photos: the base level alone, or "full", both levels
            "supervised": SupervisedWeights()._asdict(),
            "base": BaseWeights()._asdict(),
            "full": FullWeights()._asdict(),
            "score": 5.0,  # weight of the crop score's cross-entropy
            "average": 0.999,  # decay of the averaged weights that are evaluated and shipped; 0 takes the weights themselves
            "optimizer": {
                "name": "adam",
                "groups": {"network": {"prefix": "", "rate": rate}},
                "schedule": "cosine",
                "warmup": min(200, steps // 10),
                "clip": 100.0,
                "rho": 0.95,
                "eps": 1e-6,
                "decay": 1e-4,
            },
        }
    )
