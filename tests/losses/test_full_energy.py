"""Both levels' energy: what it is made of, what the mask hides, and whether a corrected face is found by it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fml_jax.codes import FinalCode
from fml_jax.face_model.correctives import Corrections, Correctives, init_correctives
from fml_jax.image_formation.points import form_final_points
from fml_jax.losses import BaseWeights, FullWeights, Observation, base_energy, full_energy
from tests.compiled_programs import run_once

WEIGHTS = FullWeights(photo=2.0, sparse=0.01, reg=0.5, rstd=0.3, smo=0.7, ref=1.1, glo=1.3, sta=1.7, contour="pose")
KEY = jax.random.key(0)


@pytest.fixture
def final_code(tiny_code):
    light = tiny_code.illumination.at[1].add(0.2)
    return FinalCode(tiny_code, jnp.array([0.5, -1.0, 2.0]), jnp.array([1.0, -0.5]), light)


@pytest.fixture
def corrections(tiny_model):
    rng = np.random.default_rng(1)
    shape = (tiny_model.vertex_count, 3)
    return Corrections(*(jnp.asarray(rng.normal(0, scale, shape), jnp.float32) for scale in (1.0, 0.05)))


@pytest.fixture(scope="module")
def image():
    return jnp.asarray(np.random.default_rng(2).random((240, 240, 3)), jnp.float32)


@functools.partial(jax.jit, static_argnames="weights")  # one program; without `jit` it would be some hundred
def energy_of(model, corrections, code, image, weights=WEIGHTS, key=KEY, mask=None):
    observation = observation_of(image)._replace(mask=mask)
    return full_energy(model, code, observation, corrections=corrections, weights=weights, key=key)


def observation_of(image):
    return Observation(image, jnp.full((68, 2), 120.0), jnp.ones(68))


def test_it_weighs_its_terms(tiny_model, corrections, final_code, image):
    total, terms = energy_of(tiny_model, corrections, final_code, image)
    assert set(terms) == {"sparse", "photo_base", "photo_final", "std", "smo", "ref", "glo", "sta"}
    data = 0.01 * terms["sparse"] + 2.0 * (terms["photo_base"] + terms["photo_final"])
    prior = terms["std"] + 0.7 * terms["smo"] + 1.1 * terms["ref"] + 1.3 * terms["glo"] + 1.7 * terms["sta"]
    assert float(total) == pytest.approx(float(data + 0.5 * prior), rel=1e-6)
    assert all(value > 0 for value in terms.values())


def test_its_base_level_is_the_base_energy(tiny_model, corrections, final_code, image):
    _, both = energy_of(tiny_model, corrections, final_code, image)
    weights = BaseWeights(rstd=WEIGHTS.rstd, contour="pose")
    base_of = jax.jit(base_energy, static_argnames="weights")
    _, base = base_of(tiny_model, final_code.base, observation_of(image), weights=weights)
    for name, other in (("sparse", "sparse"), ("photo", "photo_base"), ("std", "std")):
        assert float(base[name]) == pytest.approx(float(both[other]), rel=1e-6)


def test_without_corrections_and_with_the_same_light_both_levels_agree(tiny_model, tiny_code, image):
    nothing = Corrections(*(jnp.zeros((tiny_model.vertex_count, 3)),) * 2)
    code = FinalCode(tiny_code, jnp.zeros(0), jnp.zeros(0), tiny_code.illumination)
    _, terms = energy_of(tiny_model, nothing, code, image)
    assert float(terms["photo_base"]) == pytest.approx(float(terms["photo_final"]), rel=1e-5)
    assert terms["smo"] == terms["sta"] == 0


def test_each_level_has_its_own_light(tiny_model, corrections, final_code, image):
    def gradients(name):
        def value(code):
            return energy_of(tiny_model, corrections, code, image)[1][name]

        gradient = jax.jit(jax.grad(value))(final_code)
        return bool(gradient.base.illumination.any()), bool(gradient.illumination.any())

    assert gradients("photo_base") == (True, False) and gradients("photo_final") == (False, True)


def test_masked_pixels_do_not_count(tiny_model, corrections, final_code, image):
    mask = jnp.ones((240, 240)).at[:, :120].set(0)
    other = picture_with(image, slice(0, 119))
    beside = picture_with(image, slice(121, 240))
    terms = [
        energy_of(tiny_model, corrections, final_code, picture, mask=mask)[1] for picture in (image, other, beside)
    ]
    for name in ("photo_base", "photo_final", "ref"):
        assert float(terms[1][name]) == pytest.approx(float(terms[0][name]), rel=1e-6)
        assert abs(float(terms[2][name] - terms[0][name])) > 1e-3 * float(terms[0][name])


def picture_with(image, columns):
    other = jnp.asarray(np.random.default_rng(3).random(image.shape), jnp.float32)
    return image.at[:, columns].set(other[:, columns])


def test_only_the_skin_pairs_depend_on_the_key(tiny_model, corrections, final_code, image):
    runs = [energy_of(tiny_model, corrections, final_code, image, key=jax.random.key(k))[1] for k in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert {name for name in runs[0] if runs[0][name] != runs[2][name]} == {"glo"}


def test_gradients_are_finite_at_a_perfect_fit(tiny_model, tiny_code):
    """No residuals, no corrections, one colour everywhere: every kink at once."""
    model = tiny_model.replace(reflectance=0 * tiny_model.reflectance)
    flat = tiny_code.replace(illumination=jnp.zeros((9, 3)).at[0].set(1.0))
    code = FinalCode(flat, jnp.zeros(3), jnp.zeros(2), flat.illumination)
    nothing = Corrections(*(jnp.zeros((model.vertex_count, 3)),) * 2)

    def total(corrections, code):
        return energy_of(model, corrections, code, jnp.full((240, 240, 3), 0.5))[0]

    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients(nothing, code)))


def test_a_face_outside_the_base_span_is_found_by_both_levels(tiny_model, tiny_code):
    """Correctives and δ learned together from a picture alone: colours that the base level cannot have."""
    true = Corrections(
        jnp.zeros((81, 3)), 0.25 * jnp.sign(jnp.sin(jnp.arange(81.0)))[:, None] * jnp.array([1.0, 0.2, -0.5])
    )
    code = FinalCode(tiny_code, jnp.zeros(4), jnp.zeros(4), tiny_code.illumination)
    points = jax.jit(form_final_points)(tiny_model, code, true)
    grid = np.stack(np.meshgrid(np.arange(240), np.arange(240)), axis=-1).reshape(-1, 1, 2)
    nearest = np.argmin(((grid - np.asarray(points.pixels)) ** 2).sum(-1), axis=1)
    image = jnp.asarray(np.asarray(points.colours)[nearest].reshape(240, 240, 3))

    module = Correctives(tiny_model.vertex_count)
    parameters = run_once(lambda key: init_correctives(module, (4, 4), key), jax.random.key(3))
    state = parameters, jnp.zeros(4), jnp.zeros(4)
    weights = FullWeights(photo=1.0, sparse=0.0, reg=1e-3, ref=0.0, glo=0.0, smo=1.0, sta=1.0, contour="pose")

    def energy(state):
        parameters, geometry, skin = state
        corrected = module.apply({"params": parameters}, geometry, skin)
        return energy_of(tiny_model, corrected, code.replace(geometry=geometry, reflectance=skin), image, weights)

    optimizer = optax.adam(0.01)

    def step(carried, _):
        state, moments = carried
        (_, terms), gradient = jax.value_and_grad(energy, has_aux=True)(state)
        updates, moments = optimizer.update(gradient, moments)
        return (optax.apply_updates(state, updates), moments), terms

    _, terms = jax.jit(lambda state: jax.lax.scan(step, (state, optimizer.init(state)), length=150))(state)
    before, after = ({name: values[k] for name, values in terms.items()} for k in (0, -1))
    assert float(before["photo_final"]) == pytest.approx(float(before["photo_base"]), rel=1e-4)
    assert after["photo_final"] < 0.3 * after["photo_base"]
