# The menu. `make help` lists it; every target works on a fresh clone.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORLD ?= demo
BUYERS ?= 1000
LOCAL := $(BIN)/python -m tiketi_local
export TIKETI_WORLD ?= $(WORLD)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'
	@echo "WORLD=name     another world beside demo, for demo, up, down, status, kubeconfig and run"

# --- The world on this machine

.PHONY: demo
demo: install packages ## Start the world, put an event on sale and send a crowd (BUYERS=1000)
	@$(LOCAL) demo --buyers $(BUYERS)

.PHONY: up
up: install packages ## Start the world: Kubernetes API, stores, front door, operator, services
	@$(LOCAL) up

.PHONY: down
down: install ## Stop the world and leave nothing behind
	@$(LOCAL) down

.PHONY: status
status: install ## Show what runs, where, and how it is
	@$(LOCAL) status

.PHONY: doctor
doctor: install ## Say what this machine lacks and how to get it
	@$(LOCAL) doctor

.PHONY: kubeconfig
kubeconfig: install ## Print the path of the world's kubeconfig
	@$(LOCAL) kubeconfig

.PHONY: run
run: install ## Run a service's command beside it (PART=auth ARGS="tiketi-auth roles")
	@$(LOCAL) run "$(PART)" -- $(ARGS)

# --- Quality

# Two at a time: tests wait more than they work. What fails soon comes first, then the longest. A target's output comes
# whole, at its end.
.PHONY: test
test: install packages ## Everything CI runs
	@$(MAKE) --no-print-directory --old-file=packages --jobs=2 --output-sync=target \
		check integration-ticket integration-rest e2e faults unit contract

.PHONY: check
check: install ## Format, lint, types, borders
	@$(BIN)/ruff format --check --quiet . || { echo "mend: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy operator runtime services infra/local tests
	@$(BIN)/lint-imports

.PHONY: format
format: install ## Format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

.PHONY: unit
unit: install ## Tests of pure code
	@$(BIN)/pytest tests/unit

.PHONY: contract
contract: install packages ## The CRDs, models and manifests against a real API server
	@TIKETI_WORLD=contract $(BIN)/pytest tests/contract

.PHONY: integration
integration: integration-ticket integration-rest ## Services and operator against real stores and a real API server

.PHONY: integration-ticket
integration-ticket: install packages
	@TIKETI_WORLD=integration-ticket $(BIN)/pytest tests/integration/ticket

.PHONY: integration-rest
integration-rest: install packages
	@TIKETI_WORLD=integration $(BIN)/pytest tests/integration --ignore=tests/integration/ticket

.PHONY: e2e
e2e: install packages ## The main job, end to end
	@TIKETI_WORLD=e2e $(BIN)/pytest tests/e2e

.PHONY: faults
faults: install packages ## A minute of faults, the payment protocol against its model, and mutants
	@TIKETI_WORLD=faults $(BIN)/pytest tests/faults

.PHONY: test-faults
test-faults: install packages ## Purchases while everything breaks (SEED=any MINUTES=10 PAYMENTS=0 BUYERS=16 TRIES=1000000), into build/faults/
	@TIKETI_WORLD=faults $(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),10) \
		--payments $(or $(PAYMENTS),0) --buyers $(or $(BUYERS),16) --tries $(or $(TRIES),1000000)

.PHONY: test-mutants
test-mutants: install packages ## Take one guard after the other away: a check must notice each
	@TIKETI_WORLD=mutants $(BIN)/pytest -v tests/faults/test_mutants.py

.PHONY: test-openapi
test-openapi: install packages ## Requests made from the OpenAPI documents (SEED=1 EXAMPLES=500 for each operation)
	@TIKETI_WORLD=openapi TIKETI_OPENAPI_SEED=$(or $(SEED),1) TIKETI_OPENAPI_EXAMPLES=$(or $(EXAMPLES),500) \
		$(BIN)/pytest tests/integration/openapi

# --- Numbers

.PHONY: bench-line
bench-line: install packages ## Measure the line (ROWS=P1,P9 for some rows, ROUNDS=5); into build/bench/
	@TIKETI_WORLD=bench $(BIN)/python -m tests.load.line --rows "$(ROWS)" --rounds $(or $(ROUNDS),5)

.PHONY: bench-orders
bench-orders: install packages ## Measure purchases (ROWS=P4,P8 for some rows, ROUNDS=5); into build/bench/
	@TIKETI_WORLD=bench $(BIN)/python -m tests.load.orders --rows "$(ROWS)" --rounds $(or $(ROUNDS),5)

.PHONY: bench-seat-map
bench-seat-map: install packages ## Measure the seat map: bytes, cost of a live change, age
	@TIKETI_WORLD=bench $(BIN)/python -m tests.load.seat_map

.PHONY: bench-readme
bench-readme: install ## Write what was measured last into README.md and docs/
	@$(BIN)/python -m tests.load.readme

# --- Housekeeping

.PHONY: install
install: $(VENV)/.installed ## Make the virtual environment from the locks

$(VENV)/.installed: requirements/dev.txt pyproject.toml
	@echo "Python packages (hash-pinned) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 2; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: packages
packages: ## Install Redis, PostgreSQL and RabbitMQ from the distribution where they are missing
	@infra/local/packages.sh

.PHONY: lock
lock: ## Compile requirements/*.txt anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements/runtime.txt
	uv pip compile pyproject.toml --group dev --group local --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements/dev.txt
	echo hatchling | uv pip compile - --constraint requirements/dev.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements/build.txt

.PHONY: image
image: ## Build the container image (BASE= to change the base image)
	docker build $(if $(BASE),--build-arg BASE=$(BASE)) -t tiketi:dev .
