"""Errors pooled over scans."""

import json

import numpy as np
import pytest

from fml_jax.evaluation.pooled_errors import BIN, Counted, pooled


def test_sums_over_scans_are_those_of_all_their_points():
    rng = np.random.default_rng(0)
    scans = [rng.exponential(1.0, 500), rng.exponential(3.0, 1500), np.array([200.0])]
    parts = [json.loads(json.dumps(Counted.of(errors)._asdict())) for errors in scans]
    found, together = pooled(parts), np.concatenate(scans)
    assert (found.mean, found.sd) == pytest.approx((together.mean(), together.std()), abs=1e-6)
    assert found.median == pytest.approx(np.median(together), abs=BIN)
    at_2mm = np.interp(2.0, *found.curve)
    assert at_2mm == pytest.approx(100 * (together <= 2).mean(), abs=0.3)
    assert found.curve.percent[-1] == 100
