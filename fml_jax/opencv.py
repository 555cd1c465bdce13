"""Imports OpenCV before anything else does, so that a system library that it lacks is reported with a remedy."""

try:
    import cv2  # noqa: F401
except ImportError as error:
    if ".so" not in str(error):
        raise
    raise ImportError(
        f"OpenCV does not load ({error}): install the library (Debian, Ubuntu: apt-get install libgl1 libegl1 libgles2 "
        "libglib2.0-0), or use the build that does not need it: pip uninstall opencv-contrib-python; "
        "pip install 'opencv-contrib-python-headless>=4.10,<5'"
    ) from None
