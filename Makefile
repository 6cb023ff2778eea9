# Two commands matter: `make demo` and `make test`. Both build .venv on first use and re-use it afterwards.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint types unit install clean

demo: $(VENV)/.installed
	$(BIN)/slth demo

test: lint types unit

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.installed-dev
	$(BIN)/mypy

# Compiled loops and worker processes are not counted: the figure is a floor.
unit: $(VENV)/.installed-dev
	$(BIN)/pytest -n 2 --cov --cov-report=
	@echo "coverage: $$($(BIN)/coverage report --format=total) % of the lines of slth and proofs_check"

install: $(VENV)/.installed

# The stamps carry the dependency lists: a changed pyproject.toml or constraints.txt installs again.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "slth needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 demo"; exit 1; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) slth-demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage
