"""Builds the API reference from the docstrings: `python docs/api.py FOLDER` (or `make docs`)."""

import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

import fml_jax


def build(folder: Path) -> Path:
    """Writes the reference, a page for each module, and returns its first page; each of pdoc's warnings is an error."""
    # pdoc leaves out the modules that a package's __all__ does not list; so each is named, some of them twice.
    modules = ["fml_jax", *(module.name for module in pkgutil.walk_packages(fml_jax.__path__, "fml_jax."))]
    pdoc.render.configure(docformat="google", show_source=False, footer_text=f"fml_jax {fml_jax.__version__}")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="pdoc")
        warnings.filterwarnings("ignore", "The module specification .* has already been added")
        # Mypy checks our annotations; some names within those of Flax and Optax are not known outside these packages.
        warnings.filterwarnings("ignore", "Error parsing type annotation")
        pdoc.pdoc(*modules, output_directory=folder)
    return folder / "fml_jax.html"


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
