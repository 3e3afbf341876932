# `make reproduce` runs all notebooks, `make test` all checks; `make lab` opens the workbook, `make docs` writes the documentation.
# PYTHON: interpreter that creates .venv; LAB: options of JupyterLab, such as --no-browser.
PYTHON ?= python3
PROFILE ?= quick
BIN := .venv/bin

.PHONY: install lab web web-test test reproduce docs lint lock audit bench clean

install: .venv/installed docs/node_modules

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# scripts for formulas and widgets in the documentation; without npm only `make docs` does not work
docs/node_modules: docs/package-lock.json
	@npm ci --prefix docs --loglevel error && touch $@ || echo "make docs needs npm, and a network for this step."

# with the kernel of .venv instead of kernels that the user has installed; without the prompt for Jupyter's news
lab: install
	$(BIN)/jupyter-labextension disable @jupyterlab/apputils-extension:announcements
	JUPYTER_PREFER_ENV_PATH=1 $(BIN)/jupyter-lab $(LAB) notebooks/00_enhance_a_photo.ipynb

# the page that repairs photos in the browser, for `ssdie app`; needs Node.js
web: ssdie/app_page/sw.js

ssdie/app_page/sw.js: web/node_modules/.package-lock.json ssdie/weights/msff.onnx $(shell find web -path web/node_modules -prune -o -type f -print)
	npm --prefix web run --silent build

web/node_modules/.package-lock.json: web/package.json web/package-lock.json web/.npmrc
	npm ci --prefix web --ignore-scripts --no-audit --no-fund
	touch $@

# one process per core, each with one thread; the tests of a file run in the same process, since they share fixtures;
# the files start in the order of tests/conftest.py, the longest first
test: install lint web
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder --ignore tests/web

# tests of the page in a browser; separate from `make test`, since WebGL in software takes all cores
web-test: install web
	$(BIN)/python -m pytest tests/web

lint: install
	$(BIN)/ruff check .
	$(BIN)/lint-imports

reproduce: install
	$(BIN)/python -m ssdie reproduce --profile $(PROFILE)

# includes the notebooks executed by `make reproduce`; needs no network
docs: install
	rm -rf runs/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs 2 --doctree-dir runs/.doctrees docs runs/docs
	@echo "written: runs/docs/index.html"

# write the exact versions of the installed packages; run it in a fresh environment
lock:
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

# list known vulnerabilities of the installed packages; needs a network, and fails if the database does not respond
audit: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[audit]'
	$(BIN)/python -m pip_audit --local --skip-editable --strict

bench: install
	$(BIN)/python -m ssdie bench

clean:
	rm -rf .venv runs docs/generated docs/node_modules web/node_modules ssdie/app_page
