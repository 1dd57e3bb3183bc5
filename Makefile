# make demo    a drive through the simulated world, over ROS 2, and the report of it
# make test    what every change must pass: style, types, tests
# make clean   removes what the two have made
#
# Both need python3 (3.10 to 3.13), a C library and a package index, and install into .venv only.
# Variables: PYTHON (the Python to build .venv with), TORCH (what pip installs for the tests of training/; give
# it a CPU-only build where one is at hand, the usual one brings gigabytes of CUDA), PYTEST_ARGS.

PYTHON ?= python3
TORCH ?= torch==2.13.0
PYTEST_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PACKAGING := setup.py setup.cfg pyproject.toml package.xml

# A sourced ROS 2 puts its own numpy, OpenCV and pytest plugins before those of .venv.
unexport PYTHONPATH PYTHONHOME

.PHONY: demo test lint clean
.NOTPARALLEL:

demo: .venv/.demo
	$(BIN)/seg-perception demo

test: lint
	$(BIN)/python -u -m pytest $(PYTEST_ARGS)

lint: .venv/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf .venv build install log dist *.egg-info demo_out .hypothesis .mypy_cache .pytest_cache .ruff_cache

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

.venv/.test: $(PACKAGING) | $(BIN)/python
	$(PIP) install "$(TORCH)" --editable ".[dev,ray,ros,tensorrt-rtx,train]"
	touch $@ .venv/.demo
