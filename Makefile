# Everything runs from .venv, which is made from requirements.lock; nothing else has to be installed.
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 3000
export DAGSTER_HOME ?= $(CURDIR)/.dagster
# dg looks for an activated environment; this is it.
export VIRTUAL_ENV := $(CURDIR)/.venv
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: demo dev test mutants attack bench lint docs lock setup

demo: setup ## generate deliveries, run the real ingestion over them, print what the table holds
	$(BIN)/focus-pipeline demo

dev: setup ## the Dagster UI on http://localhost:3000 (PORT=… for another), with the daemon that runs sensors and backfills
	$(BIN)/dg dev --port $(PORT)

test: setup ## everything, with real servers on loopback
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal

mutants: setup ## bugs planted one at a time into a copy, each of which the fast tests have to find: within 10 minutes
	$(BIN)/python -m focus_pipeline_tests.mutants

attack: setup ## kills, races, damaged files and manifests, bombs, full disks, little memory: within 30 minutes
	$(BIN)/python -m focus_pipeline_tests.attack

bench: setup ## the figures of docs/figures.md, measured on this machine
	$(BIN)/python -m focus_pipeline_tests.bench

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/dg check defs

docs: setup ## the page of columns and rules, from their data
	$(BIN)/focus-pipeline specification > docs/specification.md

lock: $(BIN)/uv ## after a change of the dependencies in pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
		--no-emit-index-url --no-header --output-file requirements.lock pyproject.toml

setup: .venv/installed $(DAGSTER_HOME)/dagster.yaml .env

.venv/installed: pyproject.toml requirements.lock | $(BIN)/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

$(BIN)/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9

$(DAGSTER_HOME)/dagster.yaml: | dagster.yaml
	mkdir -p -m 700 $(DAGSTER_HOME)
	ln -sf $(CURDIR)/dagster.yaml $@

# For `dg` and `dagster` called without make: they read .env in the current folder.
.env:
	echo "DAGSTER_HOME=$(DAGSTER_HOME)" > $@
