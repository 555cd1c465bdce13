"""An imported model that tests share, and registrations, which take many seconds."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from fml_jax.importers import conversion
from fml_jax.importers.ict_facekit import read_ict
from fml_jax.importers.raw_model import RawModel
from tests.importers import layouts
from tests.launchers.launching import Result, launch


class Import(NamedTuple):
    """What the command left behind."""

    original: Path
    model: Path
    result: Result


@pytest.fixture(scope="session", autouse=True)
def shared_registrations():
    """Imports of one mean face share its registration; yields the function that registers each time."""
    find, found = conversion.find_correspondence, {}

    def find_once(open_model, mean, triangles, *, landmarks68=None, **rest):
        marks = b"" if landmarks68 is None else np.asarray(landmarks68).tobytes()
        # To a tenth of a micrometre: units and formats round differently.
        key = (np.round(mean, 4).astype(np.float32).tobytes(), np.asarray(triangles, np.int64).tobytes(), marks)
        if key not in found:
            found[key] = find(open_model, mean, triangles, landmarks68=landmarks68, **rest)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "find_correspondence", find_once)
        yield find


@pytest.fixture(scope="session")
def ict_facekit(shared) -> RawModel:
    """A neutral face, three identities and four expressions of ICT-FaceKit, from its OBJ files of 2.5 MB each."""
    return read_ict(shared / "face_models" / "ict_facekit_subset")


@pytest.fixture(scope="session")
def imported(tmp_path_factory, shared_registrations) -> Import:
    """The open model's first modes, as a Basel Face Model of 2017, imported by the command."""
    folder = tmp_path_factory.mktemp("imported")
    original = layouts.write_bfm2017(folder / "model2019_bfm.h5", layouts.open_population(6, 5, 4))
    model = folder / "bfm.npz"
    result = launch("import_face_model", "--source=bfm2017", f"--path={original}", f"--output={model}")
    return Import(original, model, result)
