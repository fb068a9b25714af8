# Everything a developer does with Turnout, one command each. Needs GNU make, a POSIX shell and Python 3.11 or later.
# What is installed is locked by version and hash in requirements/ and lives in .venv; nothing needs root.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
# A stamp is younger than what was last installed from; the dev set contains the demo set.
DEMO_STAMP := $(VENV)/installed-demo
DEV_STAMP := $(VENV)/installed-dev
LOCK_SOURCES := pyproject.toml requirements/runtime.txt requirements/build.txt

# `make run EVENT=my-event.toml`: which event to run; otherwise a copy of the demo's, on a simulated clock that walks.
DEMO_EVENT := load_tests/scenarios/wiotc2023.event.toml
OWN_EVENT := turnout-data/event.toml
EVENT ?= $(OWN_EVENT)
# `make test PYTEST='-k ledger -x'`: arguments for pytest.
PYTEST ?=
# Test files side by side: they wait for clocks and processes more than they compute. TESTERS=0: one after the other.
TESTERS ?= 3
# `make bench BENCH='--rounds 3'`: arguments for the bench.
BENCH ?=
# `make soak SOAK='--seed 7 --minutes 60'`: which faults, and for how long.
SOAK ?=
# `make demo PYTHON=/opt/python3.13/bin/python3`: the Python to use; otherwise the first suitable one on the PATH.
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
# `make lock UPGRADE=--upgrade`: take newer versions; otherwise only what pyproject.toml makes necessary changes.
UPGRADE ?=
# Writes the lock files; its own version is pinned so that two people get the same text.
UV := uv==0.13.8

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start some two thousand processes: a fifth of a start is compiling what has been compiled before.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/python -m pip install --quiet
# The package itself is built with the locked tools of requirements/build.txt, not with whatever is newest today.
INSTALL_TURNOUT := $(INSTALL) --no-build-isolation --no-deps --editable .

.PHONY: help
help: ## Show this help
	@echo "Turnout counts who attended a hybrid event, on site and online, and proves it. Start with: make demo"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(DEMO_STAMP) ## Replay the 2023 convention at 1:1000 into a certificate, and verify it (under 5 minutes)
	$(BIN)/turnout demo

.PHONY: run
run: $(DEMO_STAMP) $(filter $(OWN_EVENT),$(EVENT)) ## Run Turnout for one event: EVENT=my-event.toml (default: a copy of the demo's)
	@test -f '$(EVENT)' || { echo "There is no event file '$(EVENT)'; docs/event-file.md says how to write one." >&2; exit 1; }
	$(BIN)/turnout up '$(EVENT)'

# Made once and never again: an event file that changes is another event, and its ledger refuses it.
$(OWN_EVENT): | $(DEMO_EVENT)
	@mkdir -p $(@D)
	sed 's/^speed = .*/speed = 1.0/' $| > $@

.PHONY: test
test: $(DEV_STAMP) ## Run the tests: PYTEST='-k ledger -x'; with TURNOUT_REQUIRE_ALL=1 a missing program fails instead of skipping
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile --no-loadscope-reorder $(PYTEST)

.PHONY: soak
soak: $(DEV_STAMP) ## Break everything at random under load for minutes, and reckon every heartbeat: SOAK='--seed 7 --minutes 60'
	$(BIN)/python -m tests.faults.soak $(SOAK)

.PHONY: lint
lint: $(DEV_STAMP) ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: bench
bench: $(DEV_STAMP) ## Measure a heartbeat beside nginx, Node, aiohttp, FastAPI (needs wrk); BENCH=--help shows what else can be measured
	$(BIN)/python -m load_tests.bench $(BENCH)

.PHONY: generate
generate: $(DEV_STAMP) ## Write the files that are generated from code (a test compares them)
	$(BIN)/python -m metrics.generate
	$(BIN)/python -m gateway.settings_page
	$(BIN)/python -m gateway.verifier.build
	$(BIN)/python -m deploy.sizing

.PHONY: lock
lock: | $(BIN)/python ## Write requirements/*.txt from pyproject.toml; UPGRADE=--upgrade takes newer versions too
	$(INSTALL) '$(UV)'
	$(LOCK) --extra dev --output-file requirements/dev.txt pyproject.toml
	$(LOCK) --constraint requirements/dev.txt --output-file requirements/runtime.txt pyproject.toml
	$(LOCK) --constraint requirements/dev.txt --extra embedded --extra report --output-file requirements/demo.txt pyproject.toml
	$(BIN)/python -c '$(BUILD_REQUIREMENTS)' | $(LOCK) --constraint requirements/dev.txt --output-file requirements/build.txt -

LOCK = $(BIN)/uv pip compile --quiet $(UPGRADE) --universal --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --custom-compile-command 'make lock'
# What builds the package, and what an editable install of it needs besides.
BUILD_REQUIREMENTS := import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "editables>=0.5", sep="\n")

.PHONY: clean
clean: ## Remove what make made: .venv, caches, the demo's output. Never turnout-data, which is evidence
	rm -rf $(VENV) build dist turnout-demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Setting up $(VENV) with $$("$$python" --version)"; \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "Turnout needs Python 3.11 or later with its venv module; tried: $(PYTHONS)." >&2; \
	echo "Install it (Debian, Ubuntu: python3 and python3-venv), or name one: make demo PYTHON=/path/to/python3" >&2; \
	exit 1

$(DEMO_STAMP): $(LOCK_SOURCES) requirements/demo.txt | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements/demo.txt -r requirements/build.txt
	$(INSTALL_TURNOUT)
	@touch $@

$(DEV_STAMP): $(LOCK_SOURCES) requirements/dev.txt | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements/dev.txt
	$(INSTALL_TURNOUT)
	@touch $(DEMO_STAMP) $@
