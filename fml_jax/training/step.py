"""One training step: a pure function of the state and a batch."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from flax import linen, struct

from fml_jax.codes import code_from_network, unflatten_code
from fml_jax.face_model.base import BaseModel
from fml_jax.losses import BaseWeights, SupervisedWeights, base_energy, keypoint_energy, score_energy, supervised_energy


@struct.dataclass
class TrainState:
    """All that training carries from step to step, and all that a checkpoint keeps."""

    step: jax.Array  # int32, steps done over all stages
    params: dict
    average: dict  # exponential moving average of params: what is evaluated and shipped
    opt_state: optax.OptState


def init_state(encoder: linen.Module, optimizer: optax.GradientTransformation, seed: int) -> TrainState:
    """A fresh network."""
    params = jax.jit(encoder.init)(jax.random.key(seed), jnp.zeros((1, 240, 240, 3)))["params"]
    return TrainState(jnp.int32(0), params, jax.tree.map(jnp.copy, params), jax.jit(optimizer.init)(params))


def make_train_step(
    encoder: linen.Module, model: BaseModel, optimizer: optax.GradientTransformation, stage: Mapping
) -> Callable[[TrainState, BaseModel, dict], tuple[TrainState, dict]]:
    """Builds `train_step(state, model, batch) -> (state, metrics)`, to be compiled by the caller.

    A batch's first `stage.synthetic` rows have known codes, the `stage.photos` others landmarks.
    """
    loss = make_loss(encoder, stage)
    decay = stage.get("average", 0.999)

    def train_step(state, model, batch):
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, model, batch)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # The average forgets its random start quickly and settles to the set decay.
        keep = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
        average = jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, state.average, params)
        metrics["gradient_norm"] = optax.tree.norm(gradient)
        return TrainState(state.step + 1, params, average, opt_state), metrics

    return train_step


def make_loss(encoder: linen.Module, stage: Mapping) -> Callable:
    """`loss(params, model, batch) -> (scalar, metrics)` of a stage.

    Metrics are means over the rows that a term applies to, and `row_energy` [B], from which a
    non-finite example can be named.
    """
    synthetic = stage["synthetic"]
    supervised_weights = SupervisedWeights(**stage["supervised"])
    base_weights = BaseWeights(**stage["base"])

    def loss(params, model, batch):
        crops = batch["crop"].astype(jnp.float32) / 255
        (raw, logits), sown = encoder.apply({"params": params}, crops, mutable=["intermediates"])
        keypoints = sown.get("intermediates", {}).get("keypoints", (None,))[0]
        scores = jax.vmap(score_energy)(logits, batch["is_face"])
        rows, metrics = [stage["score"] * scores], {"score": scores.mean()}
        if synthetic:
            known = batch["code"][:synthetic]
            energies, terms = _supervised_rows(model, raw[:synthetic], known, supervised_weights, _rows(keypoints, 0, synthetic))
            rows.append(jnp.pad(energies, (0, len(raw) - synthetic)))
            metrics |= {f"synthetic/{name}": term.mean() for name, term in terms.items()}
        if stage["photos"]:
            photos = jax.tree.map(lambda column: column[synthetic:], batch)
            found = _rows(keypoints, synthetic, None)
            energies, terms = _base_rows(model, raw[synthetic:], crops[synthetic:], photos, base_weights, found)
            rows.append(jnp.pad(energies, (synthetic, 0)))
            faces = photos["is_face"]
            count = jnp.maximum(faces.sum(), 1.0)  # a small batch may hold no face at all
            metrics |= {f"photos/{name}": jnp.sum(faces * term) / count for name, term in terms.items()}
        row_energy = sum(rows)
        total = row_energy.mean()
        return total, {"loss": total, "row_energy": row_energy, **metrics}

    return loss


def _supervised_rows(model, raw, codes, weights, keypoints):
    def one(raw, code, keypoints):
        sizes = model.code_sizes
        return supervised_energy(model, code_from_network(raw, *sizes), unflatten_code(code, *sizes), weights, keypoints)

    return jax.vmap(one)(raw, codes, keypoints)


def _base_rows(model, raw, crops, photos, weights, keypoints):
    def one(raw, crop, photo, keypoints):
        code = code_from_network(raw, *model.code_sizes)
        landmarks, confidence = photo["landmarks"], photo["confidence"]
        energy, terms = base_energy(model, code, crop, landmarks, confidence, weights, photo["mask"].astype(jnp.float32))
        if keypoints is not None:
            terms["keypoints"] = keypoint_energy(keypoints, landmarks, confidence)
            energy = energy + weights.keypoints * terms["keypoints"]
        return energy, terms

    energies, terms = jax.vmap(one)(raw, crops, photos, keypoints)
    return photos["is_face"] * energies, terms


def _rows(array, begin, end):
    return None if array is None else array[begin:end]
