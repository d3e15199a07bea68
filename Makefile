# Every target does its own set-up; each is one line that a person could type.
# PYTHON=/path/to/python chooses what .venv is made with.
SHELL := /bin/bash
OURS := .venv/bin/python
PYTEST := $(OURS) -m pytest
# `host` (the system's package), or a version kept in a folder of its own: 4.0, 4.3.
export RABBITMQ ?= host
# What was compiled is kept, whatever is set outside: else each test process compiles all tests anew.
export PYTHONDONTWRITEBYTECODE :=

# A cell of the fault table names its broker itself.
ifneq ($(CELL),)
$(if $(word 4,$(subst /, ,$(subst $() ,_,$(CELL)))),,$(error a cell is written FAULT/BROKER/NODES/MIX, not $(CELL)))
RABBITMQ := $(patsubst 3.10,host,$(word 2,$(subst /, ,$(subst $() ,_,$(CELL)))))
endif

.DEFAULT_GOAL := help
.PHONY: help setup broker programs containers run check coverage covered fmt test unit simulation mutations integration e2e chaos bench demo deploy-test audit lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.stamp ## build .venv from the hashed lock
	@echo "environment: .venv is ready"

demo: .venv/.stamp broker ## the main job on real parts, in a minute or two; KEEP=1 keeps all up after it, CONSOLE=1 with the web page
	@$(OURS) -m tests.demo $(if $(KEEP),--keep) $(if $(CONSOLE),--console)

test: .venv/.stamp broker programs ## all tests: unit, simulation, integration, e2e, chaos in short
	@$(OURS) -m tests.tools.run_tests --numprocesses 5 --dist loadscope --no-loadscope-reorder

check: .venv/.stamp ## lint, format, types, import layers, sizes; changes nothing
	@tests/tools/check.sh

coverage: .venv/.stamp ## every line and branch of the pure rules, by the written examples alone
	$(PYTEST) tests/unit/domain --quiet --numprocesses auto -m 'not hypothesis' --cov --cov-config=tests/unit/domain/coverage.toml

covered: .venv/.stamp broker programs ## how much of the service unit, integration and e2e tests run: 95 % at least
	@$(OURS) -m tests.tools.run_tests --numprocesses 5 --dist loadscope --no-loadscope-reorder -m 'not simulation' --cov --cov-report= --cov-fail-under=0 tests/unit tests/integration tests/e2e
	@$(OURS) -m coverage report

run: .venv/.stamp ## the importer itself, set by IMPORTER_* variables
	$(OURS) -m service run

fmt: .venv/.stamp ## format, and mend what lint can mend
	.venv/bin/ruff format && .venv/bin/ruff check --fix

unit: .venv/.stamp ## pure rules: no network, no sleeping
	$(PYTEST) -m unit tests/unit --numprocesses auto --dist loadscope

simulation: export HISTORIES ?= 1000
simulation: .venv/.stamp ## the whole core over a thousand made-up histories of each of four kinds, in made-up time (HISTORIES=...: so many)
	$(PYTEST) -m simulation tests/unit --numprocesses auto

# A defect of the same length, made within the same second, must be compiled as well.
mutations: export PYTHONDONTWRITEBYTECODE := 1
mutations: .venv/.stamp ## break the importer on purpose, one small defect at a time, and see which test notices (ONLY=...: some)
	@$(OURS) -m tests.mutations $(if $(ONLY),--only '$(ONLY)')

integration: .venv/.stamp broker ## one real neighbour at a time
	@tests/tools/php.sh || true
	$(PYTEST) -m integration

e2e: .venv/.stamp broker ## the process as a black box
	$(PYTEST) -m e2e

chaos: .venv/.stamp broker ## faults under load, for ten minutes, one node; a table of what was lost (RABBITMQ=4.3, NODES=3; CELL=... SEED=...: one run again)
	@$(OURS) -m tests.chaos $(if $(CELL),--cell '$(CELL)') $(if $(SEED),--seed $(SEED)) $(if $(NODES),--nodes $(NODES))

bench: .venv/.stamp broker ## throughput, latency, memory and makespan, lanes, beside peers; long (BENCH=--quick: only shows that all runs)
	@$(OURS) -m tests.benchmarks $(BENCH)

deploy-test: .venv/.stamp broker programs containers ## the image, pods and the compose stack in real containers; as root on Debian
	$(PYTEST) -m stack tests/deploy

audit: .venv/.stamp ## ask which locked packages have known weaknesses
	@$(OURS) -m tests.tools.audit

lock: .venv/.stamp ## resolve the ranges of pyproject.toml anew
	@tests/tools/lock.sh

broker:
	@tests/tools/rabbitmq.sh

containers:
	@tests/tools/containers.sh

# What some tests need besides; whoever cannot install it has them skipped by name (in CI they fail).
programs: .venv/.stamp
	@tests/tools/prometheus.sh || true
	@tests/tools/kustomize.sh >/dev/null || true
	@tests/tools/node.sh >/dev/null || true
	@tests/tools/chromium.sh || true
	@tests/tools/php.sh || true
	@tests/tools/rabbitmqadmin.sh >/dev/null || true

.venv/.stamp: tests/requirements.txt
	@tests/tools/setup.sh
