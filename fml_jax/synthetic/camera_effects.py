"""What a camera and a file do to a picture: blur, low resolution, tone curve, colours, noise, JPEG."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from fml_jax.image_formation.camera import CROP_SIZE

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_GREY_PICTURES = 0.03  # share


def photographed(rng: np.random.Generator, picture: Float[np.ndarray, "240 240 3"]) -> UInt8[np.ndarray, "240 240 3"]:
    """The picture after the random effects of a camera and a file."""
    sharp = _sharpness(rng, np.asarray(picture, np.float32))
    toned = _tone(rng, np.clip(sharp, 0, 1))
    noise = rng.standard_normal(toned.shape, np.float32)
    if rng.random() < 0.4:  # of a camera that has smoothed its noise
        noise = 2 * cv2.GaussianBlur(noise, (0, 0), 0.9)
    # Sensors' noise grows with the light.
    noisy = toned + np.float32(rng.uniform(0, 0.022)) * (0.6 + 0.6 * np.sqrt(np.clip(toned, 0, 1))) * noise
    crop = np.clip(255 * noisy + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        return crop
    _, coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def _sharpness(rng, picture):
    """Out of focus or moved a little; faces of photos are often smaller than the crop."""
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.0))
    if rng.random() < 0.08:
        kernel = np.zeros((9, 9), np.float32)
        kernel[4] = 1
        turn = cv2.getRotationMatrix2D((4, 4), rng.uniform(0, 180), 1)
        kernel = cv2.warpAffine(kernel, turn, (9, 9))
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum())
    if rng.random() < 0.75:
        side = int(rng.uniform(70, CROP_SIZE))
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        method = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
        picture = cv2.resize(small, (CROP_SIZE, CROP_SIZE), interpolation=method)
    if rng.random() < 0.3:  # sharpened by the camera
        picture = picture + rng.uniform(0.2, 0.8) * (picture - cv2.GaussianBlur(picture, (0, 0), 1.5))
    return picture


def _tone(rng, picture):
    """Gamma, contrast, saturation and the balance of colours."""
    picture = picture ** np.float32(rng.lognormal(0, 0.06))
    picture = cv2.transform(picture, np.diag(rng.normal(1, 0.03, 3)).astype(np.float32))
    contrast = np.float32(rng.uniform(0, 0.15))
    picture = np.clip(picture, 0, 1)
    picture = picture + contrast * picture * (1 - picture) * (2 * picture - 1) * 2  # steeper in the middle
    saturation = 0.0 if rng.random() < _GREY_PICTURES else rng.lognormal(0.08, 0.15)
    return cv2.transform(picture, (saturation * np.eye(3) + (1 - saturation) * _GREY).astype(np.float32))
