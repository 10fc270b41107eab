# Everything starts here: `make demo` or `make test` on a machine that has only make and Python 3.11 or newer. Each target builds
# .venv first if it is missing or older than the pins, and then only runs one command in it.
#
#   make PYTHON=python3.12 test                 another Python for a new .venv
#   make PYTHON=python3.12 VENV=.venv312 test   and kept beside the one there is

PYTHON ?= python3
VENV ?= .venv
CONFIG := configs/auctions/additive_1x2_uniform.yaml

BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Each worker is kept to one thread (tests/conftest.py), so that workers and not threads share the cores.
WORKERS ?= 2
# The commands that tests start import what pytest has imported. Compiling all of that anew takes longer than the rest of a start, so the
# tests keep it beside their other caches, even where the machine's own settings keep Python from it.
PYTEST := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$(CURDIR)/.pytest_cache/bytecode" \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint types docs gpu-check wheel pins clean right-python

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: $(READY) ## learn an auction, measure it, export it, run it on bids
	$(BIN)/icsap train $(CONFIG) --out runs/demo > /dev/null
	$(BIN)/python -m icsap_jax.demo

test: $(READY) ## every test but the slow ones
	$(PYTEST) -m "not slow"

test-slow: $(READY) ## the slow tests, which take minutes each
	$(PYTEST) -m slow

lint: $(READY) ## style and imports (ruff)
	$(BIN)/ruff check .

types: $(READY) ## the types of the models that problem files are read into (mypy)
	$(BIN)/mypy

docs: $(READY) ## docs/problem-files.md anew, from the models that read problem files
	$(BIN)/python docs/generate.py

gpu-check: $(READY) ## a short run and a benchmark on whatever accelerator jax sees
	$(BIN)/python -m icsap_jax.gpu_check

wheel: $(READY) ## dist/*.whl, built with the pinned tools and no download
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .

# The newest versions that fit, for every supported Python at once; the markers say which is for which.
pins: $(READY) ## choose the exact versions in constraints.txt anew
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras \
		--no-header --no-annotate --output-file constraints.txt pyproject.toml
	@echo "constraints.txt is new: run the tests, then commit it. The next make installs it."

clean: ## remove the environment, builds and caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache

$(READY): pyproject.toml constraints.txt | right-python
	@test -x $(BIN)/python || { echo "Building $(VENV) ..."; $(PYTHON) -m venv $(VENV); } || { rm -rf $(VENV); \
		echo "make: $(PYTHON) cannot build an environment: it lacks venv or pip (on Debian or Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@$(INSTALL)
	@touch $@

# Asked at every make, and quick: an environment that is there must be the one that was asked for; to build one needs 3.11 or newer.
right-python:
ifneq ($(origin PYTHON),file)
	@if test -x $(BIN)/python && test "$$($(PYTHON) --version)" != "$$($(BIN)/python --version)"; then \
		echo "make: $(VENV) was built with $$($(BIN)/python --version), not $(PYTHON): make clean first, or keep both with VENV=.venv-other." >&2; \
		exit 1; fi
endif
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "make: Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not to be had):" \
		"install one, or name one by make PYTHON=python3.12 ..." >&2; exit 1; }

# uv installs in seconds what takes pip a minute, but reads none of pip's settings: where pip was told of an index, a proxy or to
# stay offline, pip does the work; it also does where uv cannot be had or fails. As variables, unlike with -c, the pins bind the
# build tools too: pip before 25.3 reads the first of the two for them, later ones the second.
define INSTALL
export PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1; \
told=$$($(BIN)/python -m pip config list | grep -E '\.(index.url|no.index|proxy)=' || true); \
if test -z "$$told" && { test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv; } && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --build-constraints constraints.txt \
		--editable '.[dev]'; then :; \
else echo "Installing with pip, which takes a minute or two ..."; $(BIN)/python -m pip install --quiet --editable '.[dev]'; fi
endef
