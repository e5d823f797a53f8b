# Every target installs what it needs into .venv on its first use. Only python3 (3.11 or newer) must be there.
# The lock files in requirements/ grow: runtime, then dev, then slow; a higher level contains the lower ones.

PYTHON ?= python3
LEVEL ?= runtime
WORKERS ?= 3
ARGS ?=

# Compiled modules are kept: the tests start many processes, and each would compile the whole site anew.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
PY := $(VENV)/bin/python
STAMPS := $(VENV)/.installed
RUNTIME := $(STAMPS)/runtime
DEV := $(STAMPS)/dev
SLOW := $(STAMPS)/slow
CLIENTS := $(STAMPS)/clients
PAGES := $(STAMPS)/pages
MADE := $(STAMPS)/venv

# An environment whose Python was upgraded or removed is made anew.
SOUND := $(shell $(PY) -c 'import pip' 2>/dev/null && echo yes)
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input
LOCK_TOOL := uv==0.13.8
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo up test test-all lint bench pictures lock anew

help: ## say what there is
	@echo "make TARGET [ARGS='…'] [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

setup: $(STAMPS)/$(LEVEL) $(PAGES) $(if $(filter slow,$(LEVEL)),$(CLIENTS)) ## install what the site needs (LEVEL=dev: and the tests; LEVEL=slow: everything)
	@:

demo: $(RUNTIME) $(PAGES) ## start a demonstration: three simulated nodes, a sample dataset
	@exec $(PY) manage.py demo $(ARGS)

up: $(RUNTIME) $(PAGES) ## start this installation: web, controller, worker, agent
	@exec $(PY) manage.py up $(ARGS)

test: $(DEV) $(PAGES) ## run the quick tests
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-all: $(SLOW) $(PAGES) $(CLIENTS) ## run the linters, the quick tests on SQLite and on PostgreSQL, and the slow ones
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory test
	@$(PY) -m tests.on_postgres -n $(WORKERS) $(ARGS)
	@$(PY) -m pytest -m slow tests $(ARGS)

lint: $(DEV) ## check style, format, types and the direction of imports
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy .
	@$(VENV)/bin/lint-imports

bench: $(SLOW) $(PAGES) ## measure, and write benchmarks/RESULTS.md
	@$(PY) -m benchmarks $(ARGS)

pictures: $(SLOW) $(PAGES) ## take a picture of every page of a demo (ARGS=--readme: and keep the README's)
	@$(PY) -m tests.e2e.pictures $(ARGS)

lock: $(MADE) ## resolve requirements/*.in anew into *.txt (ARGS=--upgrade: newer versions)
	@test -x $(VENV)/lock/bin/uv || { $(PY) -m venv $(VENV)/lock && \
	  $(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check '$(LOCK_TOOL)'; }
	@for level in runtime dev slow pages/node clients/openai2 clients/openai3; do echo "Locking requirements/$$level.txt"; \
	  $(VENV)/lock/bin/uv pip compile requirements/$$level.in $(LOCK) $(ARGS) \
	  -o requirements/$$level.txt > /dev/null || exit 1; done
	@echo "Locking what the gateway's bench measures beside it"
	@$(VENV)/lock/bin/uv pip compile benchmarks/gateway/litellm.in $(LOCK) $(ARGS) \
	  -o benchmarks/gateway/litellm.txt > /dev/null
	@if command -v npm > /dev/null; then for place in tests/clients/js requirements/pages; do (cd $$place && \
	  npm update --package-lock-only --omit-lockfile-registry-resolved=true --no-audit --no-fund --silent); done; fi

# --- What is installed --------------------------------------------------------------------------------------

$(RUNTIME): requirements/runtime.txt $(MADE)
	@echo "Installing what the site needs. This takes a minute or two, once."
	@$(PIP) --require-hashes -r requirements/runtime.txt
	@touch $(RUNTIME)

$(DEV): requirements/dev.txt $(MADE)
	@echo "Installing what the site and its tests need. This takes a minute or two, once."
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $(RUNTIME) $(DEV)

$(SLOW): requirements/slow.txt $(MADE)
	@echo "Installing what all tests need, real engines and databases too. This takes some minutes, once."
	@$(PIP) --require-hashes -r requirements/slow.txt
	@touch $(RUNTIME) $(DEV) $(SLOW)

# What the pages are made of besides our own: npm packages, by the machine's npm or one from a wheel.
$(PAGES): $(addprefix requirements/pages/,install.py package-lock.json node.txt) | $(RUNTIME)
	@echo "Installing what the pages need, once."
	@$(PY) requirements/pages/install.py
	@touch $(PAGES)

# Each client lives in an environment of its own: no single one could hold them all.
$(CLIENTS): $(wildcard requirements/clients/*.txt) tests/clients/js/package-lock.json $(SLOW)
	@echo "Installing the clients that are tried through the gateway. This takes a minute, once."
	@$(PY) -m tests.clients.environments
	@touch $(CLIENTS)

$(MADE): $(if $(SOUND),,anew)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "DPL needs Python 3.11 or newer. $(PYTHON) is: $$($(PYTHON) --version 2>&1 | head -n 1)." >&2; \
	  echo "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python)" >&2; \
	  echo "and, if it is not called python3, name it: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: its module venv or ensurepip is missing." >&2; \
	  echo "Debian and Ubuntu keep them apart: apt install python3-venv. Then run make again." >&2; exit 1; }
	@$(PYTHON) -m venv $(if $(SOUND),,--clear) $(VENV)
	@mkdir -p $(STAMPS)
	@touch $(MADE)
