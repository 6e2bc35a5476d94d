# Two commands do everything: `make demo` and `make test`.  Needs Python >= 3.11, make and git.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# uv, where there is one, installs the same locked files in a tenth of the time; pip knows indexes and proxies that only pip's settings name, so it has the last word.
UV ?= $(shell command -v uv 2>/dev/null)
INSTALL = install() { { [ -n "$(UV)" ] && "$(UV)" pip install --quiet --compile-bytecode --python $(BIN)/python "$$@"; } || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$@"; }; install

# Where it is set, every command would compile the packages anew, which is half of a short run.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench setup clean
.DEFAULT_GOAL := test

$(VENV)/python.stamp:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found; install one or say make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: $(VENV)/python.stamp requirements/run.lock pyproject.toml
	$(INSTALL) --require-hashes -r requirements/run.lock
	$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.lock
	$(INSTALL) --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/bench.stamp: $(VENV)/run.stamp requirements/bench.lock
	$(INSTALL) --require-hashes -r requirements/bench.lock
	@touch $@

setup: $(VENV)/dev.stamp

demo: $(VENV)/run.stamp
	$(BIN)/stillwatch demo --out demo
	$(BIN)/stillwatch pool demo --out demo/pool

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks.speed kernel
	$(BIN)/python -m benchmarks.speed end-to-end

clean:
	rm -rf $(VENV) $(VENV)-* demo
