"""Many tests compile the same step, some in programs that they start: they share XLA's compiled programs."""

import jax
import pytest

SETTINGS = {
    "jax_compilation_cache_dir": "",
    "jax_persistent_cache_min_compile_time_secs": 0.5,
    "jax_disable_most_optimizations": True,  # the tiny steps take less time than their optimization
}


@pytest.fixture(scope="package", autouse=True)
def shared_compilation(tmp_path_factory):
    settings = {**SETTINGS, "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled"))}
    before = {name: jax.config.values[name] for name in settings}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            jax.config.update(name, value)
            patch.setenv(name.upper(), str(value))  # for programs that a test starts
        yield
    for name, value in before.items():
        jax.config.update(name, value)
