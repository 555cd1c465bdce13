"""The formats that a face can be saved in, by name, and the files of each; `writers` writes them.

Programs that only pass names on import this module, which imports little.
"""

from collections.abc import Iterable

from fml_jax.errors import InputError

BUFFERS = ("depth", "normals", "reflectance", "shading", "mask")  # pictures of 16 bits, see `buffers.photo_buffers`
FORMATS: dict[str, tuple[str, ...]] = {  # the endings of each format's files
    "npz": (".npz",),
    "glb": (".glb",),
    "obj": (".obj", ".mtl", "_texture.png"),
    "ply": (".ply",),
    "fml": (".fml",),
    "fml_small": ("_small.fml",),
    "overlay": ("_overlay.png",),
    "camera": ("_camera.json",),
    **{kind: (f"_{kind}.png",) for kind in BUFFERS},
}
FILE_SUFFIXES = ("npz", "glb", "obj", "ply", "fml")  # formats that a file's own name can ask for
ALL_ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)
TEXTURES = ("reflectance", "photo")
DEFAULT = ("npz", "glb", "overlay")  # all numbers, a head for other programs, a look


def checked_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Names of formats, each once, in the order of `FORMATS`, so that the same wishes give the same files.

    Raises:
      InputError: there is none, or one is unknown.
    """
    wanted = list(names)
    for name in wanted:
        if name not in FORMATS:
            raise InputError(f"format {name!r} is unknown; choose from {', '.join(FORMATS)}")
    if not wanted:
        raise InputError(f"no format is given; choose from {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in wanted)


def endings_of(formats: Iterable[str]) -> tuple[str, ...]:
    """The endings of all files of some formats."""
    return tuple(ending for name in formats for ending in FORMATS[name])


def checked_texture(name: str) -> str:
    """One of `TEXTURES`.

    Raises:
      InputError: it is another name.
    """
    if name not in TEXTURES:
        raise InputError(f"texture {name!r} is unknown; choose one of {', '.join(TEXTURES)}")
    return name
