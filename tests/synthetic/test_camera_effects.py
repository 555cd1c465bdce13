"""The camera's tone against its formula."""

import numpy as np

from fml_jax.synthetic.camera_effects import _GREY, _tone


def test_tone_is_as_written_for_each_pixel():
    picture = np.random.default_rng(1).random((240, 240, 3), np.float32)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        gamma, gains = rng.lognormal(0, 0.06), rng.normal(1, 0.03, 3)
        contrast = rng.uniform(0, 0.15)
        saturation = 0.0 if rng.random() < 0.03 else rng.lognormal(0.08, 0.15)
        toned = np.clip(picture**gamma * gains, 0, 1)
        toned = toned + contrast * toned * (1 - toned) * (2 * toned - 1) * 2
        grey = (toned @ _GREY)[:, :, None]
        expected = grey + saturation * (toned - grey)
        np.testing.assert_allclose(_tone(np.random.default_rng(seed), picture), expected, atol=1e-5)
