# Two commands do everything: `make reproduce` and `make test`; `make lab` opens the workbook, `make docs` writes the documentation.
# PYTHON names the interpreter that makes .venv; LAB holds options for JupyterLab, such as --no-browser.
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

# scripts for formulas and widgets in the documentation; without npm only `make docs` is missing
docs/node_modules: docs/package-lock.json
	@npm ci --prefix docs --loglevel error && touch $@ || echo "make docs needs npm and, this once, a network."

# in the project's own environment, whatever kernels the user has; without the question about Jupyter's news
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

# one process per core, each with one thread; a file stays in one process, since its tests share fixtures; the files
# start in the order of tests/conftest.py, the longest first
test: install lint web
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder --ignore tests/web

# the page in a browser, by itself, since WebGL in software takes all cores
web-test: install web
	$(BIN)/python -m pytest tests/web

lint: install
	$(BIN)/ruff check .
	$(BIN)/lint-imports

reproduce: install
	$(BIN)/python -m ssdie reproduce --profile $(PROFILE)

# from notebooks that `make reproduce` has executed; needs no network
docs: install
	rm -rf runs/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs 2 --doctree-dir runs/.doctrees docs runs/docs
	@echo "written: runs/docs/index.html"

# write the exact versions of what is installed in a fresh environment
lock:
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

# known vulnerabilities of what is installed; needs the network, and fails where its database does not answer
audit: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[audit]'
	$(BIN)/python -m pip_audit --local --skip-editable --strict

bench: install
	$(BIN)/python -m ssdie bench

clean:
	rm -rf .venv runs docs/generated docs/node_modules web/node_modules ssdie/app_page
