"""An imported model that tests share, since a registration takes some seconds."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.importers import layouts
from tests.launchers.launching import Result, launch


class Import(NamedTuple):
    """What the command left behind."""

    original: Path
    model: Path
    result: Result


@pytest.fixture(scope="session")
def imported(tmp_path_factory) -> Import:
    """The open model's first modes, as a Basel Face Model of 2017, imported by the command."""
    folder = tmp_path_factory.mktemp("imported")
    original = layouts.write_bfm2017(folder / "model2019_bfm.h5", layouts.open_population(6, 5, 4))
    model = folder / "bfm.npz"
    result = launch("import_face_model", "--source=bfm2017", f"--path={original}", f"--output={model}")
    return Import(original, model, result)
