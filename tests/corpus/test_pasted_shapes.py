"""Shapes are pasted before known faces alone, and label maps say what they hide."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.corpus import pasted_shapes as module
from fml_jax.corpus.face_labels import BACKGROUND, FACE, LIKELY_FACE, OCCLUDER, UNKNOWN

COUNT = 24


@functools.cache
def program():
    """One for all tests; without `jit` it would be some hundred."""
    return jax.jit(module.with_shapes)


def rows():
    rng = np.random.default_rng(0)
    crops = np.float32(0.3 + 0.1 * rng.random((COUNT, 240, 240, 3)))
    labels = np.full((COUNT, 120, 120), BACKGROUND, np.uint8)
    labels[:, 30:100, 35:85] = FACE
    labels[1::2][labels[1::2] == FACE] = LIKELY_FACE
    return crops, labels


@pytest.fixture(scope="module")
def pasted():
    crops, labels = rows()
    return [np.asarray(each) for each in program()(jax.random.key(1), crops, labels, share=jnp.float32(1))]


def test_a_shape_hides_some_of_each_face(pasted):
    crops, labels = rows()
    face = labels != BACKGROUND
    assert (pasted[1][~face] == BACKGROUND).all()  # an object beside the face is no occluder
    assert ((pasted[1] == labels) | (pasted[1] == OCCLUDER)).all()
    shares = (pasted[1] == OCCLUDER).sum(axis=(1, 2)) / face.sum(axis=(1, 2))
    assert shares.min() > module.HIDDEN[0] - 0.02 and shares.max() < module.HIDDEN[1] + 0.02
    assert len(np.unique(shares)) == COUNT


def test_what_a_shape_hides_has_its_colours(pasted):
    crops, labels = rows()
    changed = np.abs(pasted[0] - crops).max(axis=-1)[:, ::2, ::2] > 0.02
    hidden = pasted[1] == OCCLUDER
    assert changed[hidden].mean() > 0.7 and changed[hidden].mean() > 2 * changed[~hidden].mean()
    assert pasted[0].min() >= 0 and pasted[0].max() <= 1


def test_rows_without_a_known_face_stay_as_they_are():
    crops, labels = rows()
    labels[:] = UNKNOWN
    same = program()(jax.random.key(1), crops, labels, share=jnp.float32(1))
    assert (np.asarray(same[0]) == crops).all() and (np.asarray(same[1]) == labels).all()


def test_a_share_of_the_rows_has_a_shape():
    crops, labels = rows()
    found = np.asarray(program()(jax.random.key(2), crops, labels, share=jnp.float32(0.5))[1])
    assert 0.2 < (found == OCCLUDER).any(axis=(1, 2)).mean() < 0.8
