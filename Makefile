# One verb each. Everything happens in .venv, which `make install` makes.
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := tests/sample

.PHONY: install demo test lint format typecheck bench clean

install: .venv/installed

.venv/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "bgmv2 needs Python 3.10 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --progress-bar on -e ".[test]"
	@touch $@

demo: install
	$(BIN)/python tools/demo.py $(SAMPLE) demo

test: install
	$(BIN)/python -m pytest -n auto --dist worksteal

.venv/developing: .venv/installed
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	@touch $@

lint: .venv/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/developing
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

typecheck: .venv/developing
	$(BIN)/mypy

bench: install
	$(BIN)/python tools/bench.py memory

clean:
	rm -rf .venv build demo *.egg-info .pytest_cache .mypy_cache .ruff_cache
