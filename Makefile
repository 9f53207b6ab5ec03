# Every target makes what it needs: Python >= 3.11 and make are enough.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test docs lint lint-js verify bench format clean

demo: .venv/installed  ## train the default VAE on the embedded data set; pictures, ELBO and a page to play with
	$(BIN)/scratchvae train --data strokes --epochs 30 --seed 0 --out runs/demo --overwrite
	$(BIN)/scratchvae explore runs/demo

test: .venv/dev  ## the whole test suite, as far as this machine can run it
	$(BIN)/python -m pytest

docs: .venv-docs/installed  ## the site, into build/docs/index.html; a warning is an error
	rm -rf build/docs
	.venv-docs/bin/sphinx-build -q -W --keep-going -b html docs build/docs

verify: .venv/installed  ## every gradient against finite differences
	$(BIN)/scratchvae verify

bench: .venv-bench/installed  ## beside PyTorch and JAX, into docs/speed.md; make bench DATA=DIR for MNIST too
	.venv-bench/bin/python tests/benchmarks/bench.py $(if $(DATA),--data-dir $(DATA))

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-js:  ## the scripts of the explorer's page; needs npx, which fetches ESLint
	mkdir -p build
	cd scratchvae/explorer && sed '/^"use strict";$$/d' decode.js explorer.js gradient.js > ../../build/explorer.js
	npx --yes eslint@9 -c tests/eslint.config.mjs build/explorer.js

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-bench .venv-docs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scratchvae needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv-bench/installed: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --editable . torch==2.13.0 'jax[cpu]' safetensors
	touch $@

.venv-docs/installed: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --upgrade pip
	.venv-docs/bin/python -m pip install --quiet --editable . --group docs
	touch $@

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/dev: .venv/installed
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group dev
	touch $@
