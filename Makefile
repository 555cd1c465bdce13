# make demo [PHOTO=path]         a virtual environment in .venv, then 3D faces of a photo in out/demo
# make check                     style (ruff) and types (mypy)
# make test [TEST_PROCESSES=2]   all tests but the slow ones, in two processes
# make test-slow                 the slow tests
# make docs                      the API reference in out/docs

BIN := .venv/bin
PYTHON := $(BIN)/python
TEST_PROCESSES ?= 2
INSTALLED := .venv/installed
TESTS_INSTALLED := .venv/tests_installed

.PHONY: demo check test test-slow docs

$(INSTALLED): requirements.txt pyproject.toml
	python3 -c "import sys; sys.exit(sys.version_info < (3, 11) and 'fml_jax needs Python 3.11 or newer')"
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(INSTALLED)

# Without npm, the tests that need Node's packages are skipped.
$(TESTS_INSTALLED): $(INSTALLED) tests/requirements.txt tests/node/package.json
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	if command -v npm > /dev/null; then npm install --silent --no-package-lock --ignore-scripts --prefix tests/node; fi
	touch $(TESTS_INSTALLED)

# Through the environment, so that neither make nor the shell reads the name.
demo: export FML_DEMO_PHOTO := $(value PHOTO)
demo: $(INSTALLED)
	$(BIN)/fml-demo

check: $(TESTS_INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(TESTS_INSTALLED)
	$(PYTHON) -m pytest -q -m "not slow" -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-slow: $(TESTS_INSTALLED)
	$(PYTHON) -m pytest -q -m slow

docs: $(TESTS_INSTALLED)
	$(PYTHON) docs/api.py out/docs
