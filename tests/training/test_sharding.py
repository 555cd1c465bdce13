import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def test_the_losses_do_not_depend_on_the_number_of_devices(tmp_path, devices=4):
    from fml_jax.training.metrics import read_metrics

    found = {}
    for count in (1, devices):
        flags = f"--xla_force_host_platform_device_count={count}"
        workdir = tmp_path / str(count)
        subprocess.run(
            [sys.executable, "-m", "tests.training.stub", str(workdir), "6"],
            cwd=ROOT, env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, check=True, capture_output=True,
        )
        found[count] = [row["loss"] for row in read_metrics(workdir)]
    np.testing.assert_allclose(found[devices], found[1], rtol=1e-4)


def test_devices_that_do_not_divide_are_refused():
    from fml_jax.training.sharding import make_mesh

    with pytest.raises(ValueError, match="model axis"):
        make_mesh(model_devices=7)
