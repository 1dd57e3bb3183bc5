PYTHON ?= python3
TORCH ?= torch==2.13.0
PYTEST_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PACKAGING := setup.py setup.cfg pyproject.toml package.xml

# A sourced ROS 2 puts its own numpy, OpenCV and pytest plugins before those of .venv.
unexport PYTHONPATH PYTHONHOME

.PHONY: help demo test test-fast coverage lint docs reference clean
.NOTPARALLEL:
.DEFAULT_GOAL := help

help:
	@echo "make demo       a drive through the simulated world, over ROS 2, and its report"
	@echo "make test       what every change must pass: lint and all tests"
	@echo "make test-fast  the tests that need neither ROS 2 nor PyTorch nor a browser, in less than a minute"
	@echo "make coverage   test-fast, and the lines that it does not run"
	@echo "make lint       style, types, layers of imports, spelling, words"
	@echo "make docs       the documentation as a site, in site/"
	@echo "make reference  renews the generated tables in docs/reference and config"
	@echo "make clean      removes what all of these have made"
	@echo
	@echo "They need python3 (3.10 to 3.13), a C library and a package index, and install into .venv only."
	@echo "Variables: PYTHON (which Python makes .venv), TORCH (what pip installs for the tests of training; the"
	@echo "usual build brings gigabytes of CUDA, give a CPU build where you have one), PYTEST_ARGS."

demo: .venv/.demo
	$(BIN)/seg-perception demo

test: lint
	$(BIN)/python -u -m pytest --durations=15 $(PYTEST_ARGS)

test-fast: .venv/.test
	$(BIN)/python -u -m pytest -n 2 --durations=15 -m "not ros and not torch and not slow" $(PYTEST_ARGS)

coverage: .venv/.test
	$(BIN)/python -u -m pytest -q --cov --cov-report=term:skip-covered -m "not ros and not torch and not slow" $(PYTEST_ARGS)

lint: .venv/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .import_linter_cache
	$(BIN)/codespell
	$(BIN)/python tools/check_tree.py

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html"

reference: .venv/.test
	$(BIN)/python -m seg_perception.ros.parameters.reference --write \
		docs/reference/node.md docs/reference/parameters.md docs/reference/topics.md config/perception.yaml
	$(BIN)/python tools/cli_reference.py

clean:
	rm -rf .venv build install log dist site *.egg-info demo_out .coverage .*_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is missing or older than 3.10; name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

# The stamps say with which packaging files .venv was filled; the package itself is installed editable.
.venv/.demo: $(PACKAGING) | $(BIN)/python
	$(PIP) install --editable ".[ros]"
	touch $@

.venv/.docs: $(PACKAGING) | $(BIN)/python
	$(PIP) install --editable ".[docs]"
	touch $@

.venv/.test: $(PACKAGING) | $(BIN)/python
	$(PIP) install "$(TORCH)" --editable ".[dev,docs,ray,ros,tensorrt-rtx,train]"
	touch $@ .venv/.demo .venv/.docs
