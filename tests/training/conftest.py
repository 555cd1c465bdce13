"""Trainings in tests take a few steps of a tiny network, which takes less time than optimizing their programs."""

import jax
import pytest

SETTING = "jax_disable_most_optimizations"


@pytest.fixture(scope="package", autouse=True)
def quick_compilation():
    before = jax.config.values[SETTING]
    with pytest.MonkeyPatch.context() as patch:
        jax.config.update(SETTING, True)
        patch.setenv(SETTING.upper(), "True")  # for programs that a test starts
        yield
    jax.config.update(SETTING, before)
