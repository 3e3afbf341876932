# Two commands do everything: `make reproduce` and `make test`. PYTHON names the interpreter that makes .venv.
PYTHON ?= python3
PROFILE ?= quick
BIN := .venv/bin

.PHONY: install test reproduce lint bench clean

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

test: install lint
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .

reproduce: install
	$(BIN)/python -m ssdie reproduce --profile $(PROFILE)

bench: install
	$(BIN)/python -m ssdie bench

clean:
	rm -rf .venv runs
