# Every target installs its requirements; only Python >= 3.11 and make must be present.
PYTHON ?= python3
BIN = .venv/bin

# one process per core, each with one thread; tests that share a costly fixture stay together
PYTEST = -m pytest -n auto --dist loadgroup
test test-lowest test-newest: export OPENBLAS_NUM_THREADS = 1
# the commands that tests start are read from bytecode
test test-lowest test-newest: export PYTHONDONTWRITEBYTECODE =

# the versions and hashes of all test dependencies are locked; `make lock` updates them
LOCKS = tests/locks
LOCKED = -m pip install --quiet --require-hashes --only-binary :all: --requirement $(LOCKS)
ITSELF = -m pip install --quiet --no-deps --no-build-isolation --editable .
COMPILE = .venv-tools/bin/uv pip compile --quiet --upgrade --python-version 3.11 --exclude-newer "7 days" \
	--generate-hashes --no-annotate --custom-compile-command "make lock"

.PHONY: demo test test-lowest test-newest test-frameworks docs lint lint-js verify bench results soak dist audit lock format clean

demo: .venv/installed  ## train two VAEs on the embedded digits, with 2 and 32 latent units, and draw their pages
	$(BIN)/scratchvae train --latent-dim 2 --epochs 30 --seed 0 --out runs/demo-2d --overwrite
	$(BIN)/scratchvae explore runs/demo-2d
	$(BIN)/scratchvae train --epochs 30 --seed 0 --out runs/demo --overwrite
	$(BIN)/scratchvae explore runs/demo
	@echo
	@echo 'Open these pages in a browser:'
	@echo '  $(CURDIR)/runs/demo-2d/explorer.html   two latent units: drag through the digits'
	@echo '  $(CURDIR)/runs/demo/index.html         32 latent units: samples, reconstructions, loss'
	@echo 'Make the command scratchvae available in this shell:'
	@echo '  source $(BIN)/activate'

test: .venv/dev  ## every test that this machine can run
	$(BIN)/python $(PYTEST)

test-lowest: .venv-lowest/installed  ## the same with the oldest supported release of each dependency
	@# old releases use names that newer releases of their own dependencies have deprecated
	.venv-lowest/bin/python $(PYTEST) -W ignore::DeprecationWarning

test-newest:  ## the same with the newest releases, without the lock, as users install them
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade pip
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable . --group dev
	.venv-newest/bin/python $(PYTEST)

docs: .venv-docs/installed  ## build the site, build/docs/index.html; warnings are errors
	rm -rf build/docs
	.venv-docs/bin/sphinx-build -q -W --keep-going -b html docs build/docs

verify: .venv/installed  ## check every gradient against finite differences
	$(BIN)/scratchvae verify

test-frameworks: .venv-bench/installed  ## check functions of PyTorch and JAX
	.venv-bench/bin/python -m pytest -q tests/gradcheck/test_frameworks.py

bench: .venv-bench/installed  ## compare with PyTorch and JAX, and update docs/speed.md; DATA=DIR adds MNIST, BESIDE=DIR a checkout
	.venv-bench/bin/python tests/benchmarks/bench.py $(if $(DATA),--data-dir $(DATA)) $(if $(BESIDE),--beside $(BESIDE))

results: .venv/dev  ## run the short recipes of docs/results.md, compare, and list the rows that are out of date; DATA=DIR with MNIST
	$(BIN)/python tests/benchmarks/results.py $(if $(DATA),--data-dir $(DATA))

soak: .venv/dev  ## repeated fault injection, an hour or more; writes the counts to docs/reliability.md
	$(BIN)/python tests/reliability/run.py

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-js:  ## lint the scripts of the explorer and the playground; needs npx, which downloads ESLint
	mkdir -p build
	cd scratchvae/pictures/explorer && sed '/^"use strict";$$/d' decode.js plane.js explorer.js gradient.js > ../../../build/explorer.js
	cd scratchvae/pictures/playground && sed '/^"use strict";$$/d' model.js checks.js worker.js playground.js > ../../../build/playground.js
	npx --yes eslint@9 -c tests/eslint.config.mjs build/explorer.js build/playground.js

dist: .venv-tools/installed  ## build sdist and wheel into dist/, and test them outside the checkout
	.venv-tools/bin/python tests/project/dist.py

audit: .venv-tools/installed  ## audit the workflow and the locked dependencies for known vulnerabilities; needs the network
	.venv-tools/bin/zizmor --offline .github
	for lock in dev docs tools; do \
	  .venv-tools/bin/pip-audit --strict --require-hashes --disable-pip -r $(LOCKS)/$$lock.lock || exit 1; \
	done

lock: .venv-tools/installed  ## lock the newest releases that are at least a week old, and the oldest supported ones
	$(COMPILE) --universal pyproject.toml --group dev -o $(LOCKS)/dev.lock
	$(COMPILE) --universal pyproject.toml --group docs -o $(LOCKS)/docs.lock
	$(COMPILE) --universal --group tools -o $(LOCKS)/tools.lock
	$(COMPILE) --resolution lowest-direct --python-platform linux pyproject.toml --group test --group backend \
	  -o $(LOCKS)/lowest.lock

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .venv-bench .venv-docs .venv-lowest .venv-newest .venv-tools build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scratchvae needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/dev: pyproject.toml $(LOCKS)/dev.lock | .venv/bin/python
	$(BIN)/python $(LOCKED)/dev.lock
	$(BIN)/python $(ITSELF)
	touch .venv/installed $@

.venv-docs/installed: pyproject.toml $(LOCKS)/docs.lock
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python $(LOCKED)/docs.lock
	.venv-docs/bin/python $(ITSELF)
	touch $@

.venv-tools/installed: $(LOCKS)/tools.lock
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python $(LOCKED)/tools.lock
	touch $@

.venv-lowest/installed: pyproject.toml $(LOCKS)/lowest.lock
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python $(LOCKED)/lowest.lock
	.venv-lowest/bin/python $(ITSELF)
	touch $@

.venv-bench/installed: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --editable '.[mpi]' mpich torch==2.13.0 'jax[cpu]' safetensors \
	  pytest hypothesis
	touch $@
