# The commands of this repository. `make demo` and `make test` are all that a fresh clone on a fresh machine needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PYTHONPATH := .:operator:client
LAB := $(PYTHON) -m lab
# End-to-end tests run in the laboratory's client host, next to the cluster.
IN_LAB := $(LAB) run -- $(abspath $(PY))
SHELL_SCRIPTS = $(shell git ls-files -co --exclude-standard '*.sh') .ci/run \
	operator/contex_operator/templates/redis-cli

N ?= 20
SEED ?= $(shell date +%s)
ROUNDS ?= 200

.PHONY: help setup check unit client component chart test test-all demo bench dashboards chaos lab-up lab-down clean

help: ## show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.done ## the Python environment for tests and checks

$(VENV)/.done: requirements-dev.txt operator/pyproject.toml client/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable ./operator --editable ./client --requirement requirements-dev.txt
	@touch $@

check: setup ## style, types, layers, shell scripts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/mypy operator/contex_operator client/contex_redis client/shim lab monitoring tests bench
	$(VENV)/bin/lint-imports
	$(PYTHON) -m lab packages
	shellcheck $(SHELL_SCRIPTS)

unit: setup ## pure decisions, in seconds
	$(PY) -m pytest tests/unit

client: setup ## Contex' connection and the shim, on every redis-py and Python that they promise
	$(PY) -m pytest tests/client

component: setup tools ## against a real API server and real Redis servers
	$(PY) -m pytest tests/component

chart: setup tools ## the chart, without a cluster
	$(PY) -m pytest tests/chart

.PHONY: tools
tools:
	$(LAB) tools

lab-up: ## three real nodes on this machine
	$(LAB) up

lab-down: ## take them down, nothing stays behind
	$(LAB) down

test: setup ## everything that guards a rule or a move
	.ci/test gate

test-all: setup ## every test there is
	.ci/test all

demo: setup ## install, crash, power off: and count what was lost
	$(PY) -m tests.demo

bench: setup ## measure every move, beside what people use instead: bench/results.md (hours; N=20)
	$(LAB) up
	$(PY) -m bench all --n $(N)

dashboards: setup ## write the chart's Grafana dashboards anew
	$(PY) -m monitoring

chaos: setup ## random faults and moves, checked after each round (SEED=, ROUNDS=200)
	$(LAB) up
	$(PY) -m tests.chaos --seed $(SEED) --rounds $(ROUNDS) --keep-going --log bench/chaos.jsonl

clean: ## remove what the checks and tests leave in the tree
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
