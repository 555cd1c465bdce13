"""The face model that synthetic faces are made of, and the units of its expressions."""

import pytest

from fml_jax.face_model import load_face_model
from fml_jax.synthetic.expressions import expression_units


@pytest.fixture(scope="session")
def model():
    return load_face_model()


@pytest.fixture(scope="session")
def units(model):
    return expression_units(model)
