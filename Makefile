# Two commands do all set-up on a fresh Debian or Ubuntu with Python 3.11 or newer:
#   make demo    make test
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
UP := $(BIN)/python -m tests.kind_helper

.PHONY: help
help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { echo "installing python3-venv"; apt-get update -qq && apt-get install -y -qq python3-venv; }
	@echo "making .venv with the pinned packages (about half a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[operator,collector,dev]'
	@touch $@

.PHONY: venv
venv: .venv/made ## Make .venv with everything that development needs

.PHONY: demo
demo: .venv/made ## The whole way on a real cluster: apply, events, export, verify
	@$(BIN)/python -m tests.e2e.demo

.PHONY: clean-demo
clean-demo: .venv/made ## Remove the demo and its cluster
	@$(BIN)/python -m tests.e2e.demo --clean

.PHONY: test
test: .venv/made ## Run every test, those on the real cluster too
	@$(BIN)/pytest

.PHONY: test-unit
test-unit: .venv/made ## Run the tests that need no cluster
	@$(BIN)/pytest -m 'not cluster'

.PHONY: check
check: .venv/made ## Lint, formatting, types and the floors
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: up
up: .venv/made ## Bring up the local three-zone cluster
	@$(UP) up

.PHONY: down
down: .venv/made ## Take the local cluster down
	@$(UP) down

.PHONY: images
images: .venv/made ## Build both images and load them into the local cluster
	@$(UP) images --load

.PHONY: generate
generate: .venv/made ## Write again what is generated from the code: CRD and reference
	@$(BIN)/python -m tests.contract.generated

.PHONY: bench
bench: .venv/made ## Measure again the figures of tests/bench/RESULTS.md
	@$(BIN)/python -m tests.bench

SIZES ?= 250,1000,4000
PLAIN ?= 250,1000

.PHONY: bench-operator
bench-operator: .venv/made ## Measure how far the operator reaches (as root, half an hour; leave the machine alone)
	@$(BIN)/python -m tests.bench.operator --sizes $(SIZES) --plain $(PLAIN)

.PHONY: soak
soak: .venv/made ## Kill a collector a thousand times under load and count (about a quarter of an hour)
	@$(BIN)/python -m tests.bench.soak --kills 1000

.PHONY: lock
lock: .venv/made ## Pin the newest versions that pyproject.toml allows
	@$(BIN)/pip install --quiet uv
	@{ head -1 constraints.txt; $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras \
	  --upgrade --no-header --no-annotate pyproject.toml; } > constraints.new
	@mv constraints.new constraints.txt
