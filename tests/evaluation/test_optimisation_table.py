"""The table of regression against optimisation."""

import jax.numpy as jnp
import numpy as np
import pytest

from fml_jax.codes import neutral_code
from fml_jax.evaluation.optimisation_table import ITERATIONS, MEAN, NETWORK, POSED, course, table_of, timed
from fml_jax.fitting.energy import STEPS
from fml_jax.image_formation.landmark_projection import project_landmarks
from fml_jax.losses import Observation


def test_a_descent_is_measured_from_its_start_to_its_end(tiny_model):
    start = neutral_code(tiny_model.code_sizes)
    aim = project_landmarks(tiny_model, start.replace(translation=start.translation + jnp.array([5.0, 0.0, 0.0])))
    observation = Observation(jnp.full((240, 240, 3), 0.4), aim, jnp.ones(68))
    found = course(tiny_model, start, observation)
    moved = np.linalg.norm(aim - project_landmarks(tiny_model, start), axis=1)
    assert found.terms["landmarks, px"][0] == pytest.approx(np.sqrt((moved**2).mean()), rel=0.05)
    assert found.terms["landmarks, px"][-1] < 0.5 and found.terms["energy"][-1] < 0.2 * found.terms["energy"][0]
    assert found.terms["E_photo"][0] == pytest.approx(0.1 * 3**0.5, rel=0.01)  # 0.5 on 0.4
    assert found.codes.shape == (len(ITERATIONS), tiny_model.code_sizes.total)


def test_the_time_of_compilation_does_not_count():
    calls = []
    found = timed(lambda: calls.append(0) or len(calls))
    assert found.value == 2 and 0 <= found.seconds < 1


def row(network, posed, mean):
    starts = {NETWORK: (network, 0.1), POSED: (posed, 0.2), MEAN: (mean, 0.0)}
    descents = {
        name: {"seconds of the start": seconds, "seconds": 3.0, "energy": values}
        for name, (values, seconds) in starts.items()
    }
    return {"photo": "a.jpg", "group": "photos", "descents": descents}


def test_times_and_the_iteration_at_which_the_networks_answer_is_reached():
    down = [100.0, 60.0, 50.0, 40.0, 30.0, 20.0]
    table = table_of([row([45.0] * 6, down, down), row([25.0] * 6, down, [90.0] * 6)])
    courses, reached = table.parts
    lines = {line[:2]: line[2:] for line in courses.rows}
    assert lines[NETWORK, 0] == ("0.10", "35") and lines[POSED, STEPS - 1][1] == "20"
    assert float(lines[POSED, 100][0]) == pytest.approx(0.2 + 3 * 100 / STEPS, abs=0.01)
    assert reached.rows[0] == ("energy", POSED, "0 %", "0 %", "0 %", "50 %", "50 %", "100 %")
    assert reached.rows[1] == ("energy", MEAN, "0 %", "0 %", "0 %", "50 %", "50 %", "50 %")
    assert table.sheet is not None and len(table.rows) == 2 * 3 * len(ITERATIONS)
