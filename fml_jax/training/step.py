"""One training step: a pure function of the state and a batch."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float, UInt8

from fml_jax.codes import FaceCode, FinalCode, code_from_network, leading_reflectance
from fml_jax.corpus.device_augmentation import harmless_change, with_mirrored_points
from fml_jax.corpus.face_labels import BACKGROUND, FACE, LIKELY_BACKGROUND, LIKELY_FACE
from fml_jax.face_model.base import BaseModel, reflectance
from fml_jax.face_model.correctives import Corrections
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.image_formation.local_points import PointBasis, project_points
from fml_jax.image_formation.occlusion import crop_sized
from fml_jax.losses import (
    Observation,
    base_energy,
    exposed,
    full_energy,
    identity_distances,
    identity_energies,
    invariance_energy,
    keypoint_energy,
    known_skin_energy,
    known_tone_energy,
    landmark_energy,
    opening_energy,
    point_distance_energy,
    point_likelihood_energy,
    score_energy,
    skin_agreement_energies,
    statistical_energy,
    supervised_energy,
    tone_agreement_energies,
)
from fml_jax.networks.encoders import EncoderOutput
from fml_jax.networks.local_stages import LocalOutput
from fml_jax.networks.multilevel import Network
from fml_jax.networks.occlusion import CLASSES, label_energy
from fml_jax.networks.skin_tone import SkinTone
from fml_jax.ops.arrays import Array
from fml_jax.ops.images import unit_range
from fml_jax.photos.landmarks import EYE_OF_POINT
from fml_jax.training.config import OptimizerConfig, StageConfig
from fml_jax.training.low_rank_gradients import (
    gradient_norm,
    low_rank_gradients_of,
    low_rank_rows,
    with_low_rank_gradients,
)
from fml_jax.training.optimizers import group_labels

ANSWERS = "answers"  # the column of a batch with an `EncoderOutput` that was stored (training/stored.py)
_LIKELY = 0.3  # weight of a place of a photo whose class is likely


class TrainState(struct.PyTreeNode):
    """All that training carries from step to step, and all that a checkpoint keeps."""

    step: jax.Array  # int32, steps done over all stages
    params: dict  # as `multilevel.Network.init` returns them
    ema_params: dict | None  # exponential moving average of params, where a stage keeps one
    opt_state: optax.OptState

    @property
    def eval_params(self) -> dict:
        """The parameters that are evaluated and shipped: the average, where there is one."""
        return self.params if self.ema_params is None else self.ema_params


def init_state(
    network: Network, optimizer: optax.GradientTransformation, seed: int, *, keep_ema: bool = True
) -> TrainState:
    """The state of a network whose parameters are drawn by a seed."""
    return state_of(network.init(jax.random.key(seed)), optimizer, keep_ema)


def state_of(params: dict, optimizer: optax.GradientTransformation, keep_ema: bool = True) -> TrainState:
    """The state with which training begins at given parameters.

    Args:
      keep_ema: with the moving average of the parameters.
    """
    ema_params = jax.tree.map(jnp.copy, params) if keep_ema else None
    return TrainState(jnp.int32(0), params, ema_params, optimizer.init(params))


def step_key(seed: int, step: int | jax.Array) -> jax.Array:
    """The key of a step's random numbers: a function of seed and step, so that a resumed run draws the same."""
    return jax.random.fold_in(jax.random.key(seed), step)


def make_train_step(
    network: Network, optimizer: optax.GradientTransformation, stage: StageConfig, *, seed: int
) -> Callable[[TrainState, BaseModel, dict], tuple[TrainState, dict]]:
    """Builds `train_step(state, model, batch) -> (state, metrics)`, to be compiled by the caller.

    The first `stage.synthetic` rows of a batch have known codes, the other `stage.photos` rows have landmarks.
    """
    loss = make_loss(network, stage)
    rows = low_rank_rows(stage)

    def train_step(state, model, batch):
        key, constant = step_key(seed, state.step), _constant(state.params, stage.optimizer)
        params = with_low_rank_gradients(state.params, rows) if rows else state.params

        def loss_of(params):
            return loss(_trained_alone(params, constant), model, batch, key)

        (_, metrics), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
        gradient = low_rank_gradients_of(gradient, network.mesh)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # A smaller decay in the first steps removes the random initial values from the average quickly.
        decay = jnp.minimum(stage.ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema_params = state.ema_params and jax.tree.map(
            lambda old, new: decay * old + (1 - decay) * new, state.ema_params, params
        )
        # Without the barrier the compiler keeps the squares, an array of all parameters, for the optimizer.
        metrics["gradient_norm"] = gradient_norm(jax.lax.optimization_barrier(gradient))
        return TrainState(state.step + 1, params, ema_params, opt_state), metrics

    return train_step


def _constant(params: dict, settings: OptimizerConfig) -> dict:
    """Which parameters have the learning rate 0, as a tree like `params`."""
    labels = group_labels(params, {name: group.prefix for name, group in settings.groups.items()})
    return jax.tree.map(lambda group: not settings.groups[group].learning_rate, labels)


def _trained_alone(params: dict, constant: dict) -> dict:
    """The parameters, without gradients for those that are constant, so that none are computed."""
    return jax.tree.map(lambda held, part: jax.lax.stop_gradient(part) if held else part, constant, params)


def make_loss(network: Network, stage: StageConfig) -> Callable[..., tuple[Float[Array, ""], dict]]:
    """`loss(params, model, batch, key) -> (scalar, metrics)` of a stage.

    The metrics are "loss"; the mean of each term over the rows to which it applies, before weighting; and
    "rows", the terms of each row: name → [B], zero where a term does not apply, with "energy", the weighted
    sum of a row. Names begin with "synthetic/", "photos/" or "changed/" (photos mirrored or blurred), except those of
    the score and of occlusion.
    """
    synthetic, photos = stage.synthetic, stage.photos
    photo_parts = {"full": _full_parts, "base": _base_parts, "landmarks": _landmark_parts}[stage.level]

    def loss(params, model, batch, key):
        crops = unit_range(batch["crop"])
        output = batch[ANSWERS] if ANSWERS in batch else network.encode(params, crops)
        parts = [_score_part(output, batch, stage.score)]
        if stage.occlusion and "labels" in batch:  # held-out batches have no label maps
            parts.append(_occlusion_part(output.occlusion, batch["labels"], stage.occlusion))
        if synthetic:
            rows = _rows((output, batch), 0, synthetic)
            parts.append(_supervised_part(model, *rows, stage))
            if stage.level == "full" and stage.skin.known:
                parts.append(_known_skin_part(network, params, model, *rows, crops[:synthetic], stage.skin.known))
            parts += _local_part(network, rows[0], _points_of_codes(network, rows[1]["code"]), "synthetic/", 0, stage)
        if photos:
            rows = _rows((output, crops, batch), synthetic, len(crops))
            parts += photo_parts(network, params, model, *rows, synthetic, stage, key)
            parts += _local_part(network, rows[0], _points_of_landmarks(rows[2]), "photos/", synthetic, stage)
            if stage.identity and "person" in batch:
                parts.append(_identity_part(model, rows[0], rows[2], synthetic, stage.identity))
            if stage.invariance:
                rows = _rows((output, crops, batch), synthetic, synthetic + stage.changed_photos)
                parts += _changed_parts(network, params, model, *rows, synthetic, stage, key)
        if network.basis is not None and output.local is not None and any(stage.tone):
            parts += _tone_parts(network.basis, params["local"]["skin_tone"], output.local, batch, stage, key)
        return _reduced(parts, len(crops))

    return loss


class _Part(NamedTuple):
    """Energies of consecutive rows of a batch, n of them."""

    prefix: str  # of the terms' names
    first: int  # row of the batch
    applies: jax.Array  # [n], 1 where a row counts, else 0
    energies: jax.Array  # [n]
    terms: dict[str, jax.Array]  # [n] each, before weighting


def _reduced(parts: list[_Part], count: int) -> tuple[jax.Array, dict]:
    def in_batch(part, column):
        return jnp.pad(part.applies * column, (part.first, count - part.first - len(column)))

    rows, means = {}, {}
    for part in parts:
        counted = jnp.maximum(part.applies.sum(), 1.0)  # a small batch may hold no face at all
        for name, term in part.terms.items():
            rows[part.prefix + name] = in_batch(part, term)
            means[part.prefix + name] = rows[part.prefix + name].sum() / counted
    rows["energy"] = sum(in_batch(part, part.energies) for part in parts)
    total = rows["energy"].mean()
    return total, {"loss": total, **means, "rows": rows}


def _score_part(output: EncoderOutput, batch, weight) -> _Part:
    scores = jax.vmap(score_energy)(output.logits, batch["is_face"])
    return _Part("", 0, jnp.ones_like(scores), weight * scores, {"score": scores})


def _occlusion_part(logits, labels, weight) -> _Part:
    weights = label_weights(labels)
    energies = jax.vmap(label_energy)(logits, weights)
    known = (weights.sum(axis=(1, 2, 3)) > 0).astype(energies.dtype)
    return _Part("", 0, known, weight * energies, {"occlusion": energies})


def _identity_part(model, output: EncoderOutput, batch, first, weight) -> _Part:
    identity = code_from_network(output.raw, model.code_sizes).identity
    distances = identity_distances(model, identity)
    energies, counted = identity_energies(distances, batch["person"], batch["is_face"])
    return _Part("photos/", first, counted, weight * energies, {"identity": energies})


def _changed_parts(
    network: Network, params, model, output: EncoderOutput, crops, batch, first, stage, key
) -> list[_Part]:
    """Photos mirrored or blurred: how far their faces' shapes move, and the losses of their landmarks once more.

    The points of a changed photo are known, since those of the photo are.
    """
    assert network.shape_differences is not None, "a stage with this loss needs a network that is made for it"
    keys = jax.random.split(jax.random.fold_in(key, 3), len(crops))
    changed, mirrored = jax.vmap(harmless_change)(keys, crops)
    seen, known = network.encode(params, changed), jax.vmap(with_mirrored_points)(batch, mirrored)
    before, after = (code_from_network(each.raw, model.code_sizes) for each in (output, seen))

    def energy(before, after, mirrored):
        return invariance_energy(network.shape_differences, before, after, mirrored=mirrored)

    energies = jax.vmap(energy)(before, after, mirrored)
    moved = _Part("changed/", first, batch["is_face"], stage.invariance * energies, {"invariance": energies})
    points = _local_part(network, seen, _points_of_landmarks(known), "changed/", first, stage)
    if stage.level != "landmarks":  # other levels weight landmarks beside colours, which are not compared here
        return [moved, *points]
    landmarks = _landmark_parts(network, params, model, seen, changed, known, first, stage, key)
    return [moved, *points, *(part._replace(prefix="changed/") for part in landmarks)]


def _supervised_part(model, output: EncoderOutput, batch, stage) -> _Part:
    weights, sizes = stage.supervised, model.code_sizes

    def one(raw, code, keypoints):
        found, true = code_from_network(raw, sizes), leading_reflectance(code, sizes)
        return supervised_energy(model, found, true, weights=weights, keypoints=keypoints)

    energies, terms = jax.vmap(one)(output.raw, batch["code"], output.keypoints)
    return _Part("synthetic/", 0, jnp.ones_like(energies), energies, terms)


def _known_skin_part(network: Network, params, model, output: EncoderOutput, batch, crops, weight) -> _Part:
    """The final level's reflectance of renders against the true one."""
    skins = _final_skins(model, *network.final_level(params, output, model, crops=crops))

    def energy(skin, code):
        return known_skin_energy(
            model, skin, reflectance(model, leading_reflectance(code, model.code_sizes).reflectance)
        )

    energies = jax.vmap(energy)(skins, batch["code"])
    return _Part("synthetic/", 0, jnp.ones_like(energies), weight * energies, {"skin": energies})


def _final_skins(model, code: FinalCode, corrections: Corrections) -> Float[Array, "B N 3"]:
    """The final level's reflectance of each row."""
    base = jax.lax.stop_gradient(code.base.reflectance)
    return jax.vmap(lambda beta: reflectance(model, beta))(base) + corrections.reflectance


def label_weights(labels: UInt8[Array, "B 120 120"]) -> Float[Array, "B 60 60 3"]:
    """The weight of each class at each place of the prediction; 0 where nothing is known (`corpus.face_labels`)."""
    places = labels[:, 1::2, 1::2]
    sure = jax.nn.one_hot(places, CLASSES)  # zeros for labels that are no class
    likely = jax.nn.one_hot(jnp.where(places == LIKELY_FACE, FACE, BACKGROUND), CLASSES)
    is_likely = (places == LIKELY_FACE) | (places == LIKELY_BACKGROUND)
    return sure + _LIKELY * is_likely[..., None] * likely


class _TruePoints(NamedTuple):
    """Where the points of the local stages truly are, for n rows."""

    pixels: jax.Array  # [n, P, 2]
    confidence: jax.Array  # [n, P]; 0 where a point is unknown
    applies: jax.Array  # [n]


def _points_of_codes(network: Network, codes) -> _TruePoints | None:
    """The points of renders; exact."""
    if network.basis is None:
        return None
    true = leading_reflectance(codes, network.basis.sizes)
    pixels = jax.vmap(project_points, in_axes=(None, 0))(network.basis, true).pixels
    return _TruePoints(pixels, jnp.ones(pixels.shape[:2]), jnp.ones(len(pixels)))


def _points_of_landmarks(batch) -> _TruePoints:
    """The points of photos: detected landmarks and points of the eyes, which renders taken as photos do not have."""
    known = jnp.concatenate([batch["landmarks"], batch["eyes"]], axis=1)
    of_eyes = batch["confidence"][:, EYE_OF_POINT].mean(axis=-1) * (1 - batch["has_code"][:, None])
    return _TruePoints(known, jnp.concatenate([batch["confidence"], of_eyes], axis=1), batch["is_face"])


def _local_part(
    network: Network, output: EncoderOutput, true: _TruePoints | None, prefix: str, first: int, stage: StageConfig
) -> list[_Part]:
    """The losses of the local stages, where the network has them."""
    if output.local is None or network.basis is None or true is None:
        return []
    local, basis, weights = output.local, network.basis, stage.local

    def projected(raw):
        return project_points(basis, code_from_network(raw, basis.sizes)).pixels

    def likelihood(measured, whitening, true, confidence):
        return point_likelihood_energy(measured, whitening, true, confidence=confidence)

    likelihoods = [
        jax.vmap(likelihood)(each.pixels, each.whitening, true.pixels, true.confidence) for each in local.points
    ]
    terms = {"points": sum(likelihoods) / len(likelihoods)}
    points = [jax.vmap(projected)(raw) for raw in local.stages]
    for name, energy in (("distance", point_distance_energy), ("openings", opening_energy)):
        terms[name] = sum(jax.vmap(energy)(each, true.pixels, true.confidence) for each in points) / len(points)
    if weights.start:
        start = jax.vmap(projected)(local.start)
        terms["start"] = jax.vmap(point_distance_energy)(start, true.pixels, true.confidence)
    energies = sum(getattr(weights, name) * term for name, term in terms.items())
    return [_Part(f"{prefix}local_", first, true.applies, energies, terms)]


def _tone_parts(basis: PointBasis, layers: dict, local: LocalOutput, batch, stage: StageConfig, key) -> list[_Part]:
    """The losses of the skin tones, each of its crop at a random exposure."""
    first, parts = stage.synthetic, []
    tones = SkinTone().apply({"params": layers}, exposed(local.colours, key), basis.tone_mean)
    if first:
        true = basis.tone(leading_reflectance(batch["code"][:first], basis.sizes).reflectance)
        energies = jax.vmap(known_tone_energy)(tones[:first], true)
        parts.append(_Part("synthetic/", 0, jnp.ones(first), stage.tone.known * energies, {"tone": energies}))
    if stage.photos and "person" in batch:
        energies, counted = tone_agreement_energies(tones[first:], batch["person"][first:], batch["is_face"][first:])
        parts.append(_Part("photos/", first, counted, stage.tone.agreement * energies, {"tone": energies}))
    return parts


def _base_parts(network, params, model, output: EncoderOutput, crops, batch, first, stage, key) -> list[_Part]:
    weights = stage.base

    def energy(code, observation):
        return base_energy(model, code, observation, weights=weights)

    # The encoder's own colours, also where a solver replaces them later: its prior is about them.
    codes = code_from_network(output.raw, model.code_sizes)
    if output.local is None:
        energies, terms = jax.vmap(energy)(codes, _observations(output, crops, batch))
        return [_photo_part(output, batch, first, energies, terms, weights.keypoints)]
    # E_photo moves landmarks away from where local stages see them, so that it trains the colours alone.
    colours = _geometry_held(codes)
    _, terms = jax.vmap(energy)(colours, _observations(output, crops, batch))
    (part,) = _landmark_parts(network, params, model, output, crops, batch, first, stage, key)
    energies = part.energies + weights.photo * terms["photo"]
    return [part._replace(energies=energies, terms=part.terms | {"photo": terms["photo"]})]


def _geometry_held(codes: FaceCode) -> FaceCode:
    """Codes of which only light and reflectance have gradients."""
    names = ("identity", "expression", "rotation", "translation")
    return codes.replace(**{name: jax.lax.stop_gradient(getattr(codes, name)) for name in names})


def _landmark_parts(network, params, model, output: EncoderOutput, crops, batch, first, stage, key) -> list[_Part]:
    """The base level's energy without its photometric term."""
    weights = stage.base

    def energy(raw, landmarks, confidence):
        code = code_from_network(raw, model.code_sizes)
        terms = {
            "sparse": landmark_energy(landmarks - project_landmarks(model, code), confidence),
            "std": statistical_energy(code, weights.rstd),
        }
        return weights.sparse * terms["sparse"] + weights.reg * terms["std"], terms

    energies, terms = jax.vmap(energy)(output.raw, batch["landmarks"], batch["confidence"])
    return [_photo_part(output, batch, first, energies, terms, weights.keypoints)]


def _full_parts(network: Network, params, model, output: EncoderOutput, crops, batch, first, stage, key) -> list[_Part]:
    weights = stage.full
    code, corrections = network.final_level(params, output, model, crops=crops)

    # All rows of a step share one sample of skin pairs, since drawing it sorts all vertices.
    def energy(code, corrections, observation):
        return full_energy(model, code, observation, corrections=corrections, weights=weights, key=key)

    energies, terms = jax.vmap(energy)(code, corrections, _observations(output, crops, batch))
    parts = [_photo_part(output, batch, first, energies, terms, weights.keypoints)]
    if stage.skin.agreement and "person" in batch:
        skins = _final_skins(model, code, corrections)
        energies, counted = skin_agreement_energies(model, skins, batch["person"], applies=batch["is_face"])
        parts.append(_Part("photos/", first, counted, stage.skin.agreement * energies, {"skin": energies}))
    return parts


def _observations(output: EncoderOutput, crops, batch) -> Observation:
    mask = batch["mask"].astype(jnp.float32)
    if output.known is not None:
        mask = mask * jax.lax.stop_gradient(crop_sized(output.known))
    return Observation(crops, batch["landmarks"], batch["confidence"], mask)


def _photo_part(output: EncoderOutput, batch, first, energies, terms, keypoint_weight) -> _Part:
    """Adds the error of the encoder's own keypoints, where it has any."""
    if output.keypoints is not None:
        terms["keypoints"] = jax.vmap(keypoint_energy)(output.keypoints, batch["landmarks"], batch["confidence"])
        energies = energies + keypoint_weight * terms["keypoints"]
    return _Part("photos/", first, batch["is_face"], energies, terms)


def _rows(tree, begin, end):
    return jax.tree.map(lambda column: column[begin:end], tree)
