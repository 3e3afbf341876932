# Two commands do everything: `make reproduce` and `make test`. PYTHON names the interpreter that makes .venv.
PYTHON ?= python3
PROFILE ?= quick
BIN := .venv/bin

.PHONY: install test reproduce lint audit bench clean

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

# known vulnerabilities of what is installed; needs the network, and fails where its database does not answer
audit: install
	$(BIN)/python -m pip install --quiet --editable '.[audit]'
	$(BIN)/python -m pip_audit --local --skip-editable --strict

bench: install
	$(BIN)/python -m ssdie bench

clean:
	rm -rf .venv runs
