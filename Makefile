# `make pareto` and `make test` do everything on a fresh machine: environment, then the work. `make help` lists what there is.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Names what pip is at, a line per package: it would be silent for minutes, or print hundreds of lines.
SAY := awk '/^Collecting/ {print "  " $$2; fflush()} /^Installing collected/ {print "  unpacking all of them"; fflush()}'
QUICK := tests/data tests/test_layers.py $(addprefix tests/litesnn/test_, $(addsuffix .py, \
	checks config cost genotype layout nearest neuron pixels prune quantize)) \
	tests/tune/storage/test_store.py $(addprefix tests/tune/results/test_, $(addsuffix .py, front merge pick)) \
	tests/tune/plan $(addprefix tests/tune/running/test_, $(addsuffix .py, halving option_names)) tests/tune/views/test_report.py

# Tests that start clusters, and the others; see tests/conftest.py. SIDE_BY_SIDE= runs them one after the other.
SIDE_BY_SIDE := --numprocesses 2 --no-loadscope-reorder

.PHONY: help pareto quick test audit lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Extra options: make pareto ARGS="--preset cifar10-small --data-root ~/data"
pareto: $(READY) ## environment, then a front on handwritten digits; ARGS="--preset …" changes it
	$(BIN)/python tune/pareto.py $(ARGS)

quick: $(READY) ## lint, types and the fast tests, within 90 seconds once the environment is there
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m "not slow and not cluster" $(QUICK) $(ARGS)

test: $(READY) ## lint, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

# Reinstalls only when the lock file or the project's own metadata is newer than the environment. Bytecode is made on all cores,
# pip would use one; what cannot be compiled, such as templates, is left out as by pip.
$(READY): requirements.lock pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || { echo "making an environment in $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing $$(grep -c '==' requirements.lock) packages from PyPI into $(VENV), several GB: minutes, and only this once"
	@$(BIN)/python -m pip install --progress-bar off --disable-pip-version-check --no-compile --requirement requirements.lock | $(SAY)
	@$(BIN)/python -m compileall -qq -j 0 "$(CURDIR)/$(VENV)/lib" || true
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)
	@echo "the environment is ready"

# Looks every pinned package up among the published vulnerabilities; one that cannot be looked up is a failure.
audit: $(READY) ## known vulnerabilities of the pinned packages
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock

# Resolves pyproject.toml anew and writes the exact versions down.
lock: ## newest versions of all packages into requirements.lock
	cluster/lock.sh $(PYTHON) > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean: ## removes the environment and all caches
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache
