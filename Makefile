# make demo [PHOTO=path]         a virtual environment in .venv, then 3D faces of a photo in out/demo
# make test [TEST_PROCESSES=2]   the same environment and tests/requirements.txt, all tests but the slow ones, in two processes
# make test-slow                 those

PYTHON := .venv/bin/python
TEST_PROCESSES ?= 2
INSTALLED := .venv/installed
TESTS_INSTALLED := .venv/tests_installed
BUNDLED_PHOTOS = $(shell $(PYTHON) -c "import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / 'data')")

.PHONY: demo test test-slow

$(INSTALLED): requirements.txt
	python3 -c "import sys; sys.exit(sys.version_info < (3, 11) and 'fml_jax needs Python 3.11 or newer')"
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $(INSTALLED)

$(TESTS_INSTALLED): $(INSTALLED) tests/requirements.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $(TESTS_INSTALLED)

demo: $(INSTALLED)
	rm -rf out/demo/photos && mkdir -p out/demo/photos
	cp "$(BUNDLED_PHOTOS)/astronaut.png" $(if $(PHOTO),"$(PHOTO)") out/demo/photos
	$(PYTHON) -m experiments.reconstruct --input=out/demo/photos --output=out/demo

test: $(TESTS_INSTALLED)
	$(PYTHON) -m pytest -q -m "not slow" -n $(TEST_PROCESSES) --dist loadfile

test-slow: $(TESTS_INSTALLED)
	$(PYTHON) -m pytest -q -m slow
