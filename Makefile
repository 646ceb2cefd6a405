# Every verb does its own set-up. CI and the README use the same verbs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Compiled modules are kept, whatever the shell says: without them every process starts two seconds later.
unexport PYTHONDONTWRITEBYTECODE

# The first Python from 3.11 on; `make PYTHON=…` chooses another.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
endif
BIN := .venv/bin
PACKAGES := supportly workflows activities api sandbox worker.py tests bench drills ops
# Test processes side by side; each starts a PostgreSQL and a Temporal of its own. Three take as long on two cores.
TEST_PROCESSES ?= 2
PYTEST_ARGS ?=
DRILLS_ARGS ?=
BROWSER_ARGS ?=
SBOM ?= .cache/sbom.json
SBOM_ARGS ?=
UV ?= uv

.PHONY: help setup up demo test coverage browser screenshots proofs drills bench histories check format site sbom docs lock clean

help: ## This list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: ## Make the environment .venv from requirements.lock (every other verb does this first)
	@if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "Python 3.11 or newer is needed$(if $(PYTHON), and $(PYTHON) is not): install one, or name it with make PYTHON=/path/to/python3." >&2; \
		exit 1; fi
	@exec "$(PYTHON)" -I supportly/dev/setup.py install

up: setup ## Start the whole stack and stay: PostgreSQL, Temporal, sandbox, API, workers (Ctrl-C stops it)
	@exec $(BIN)/python -m supportly stack up

demo: setup ## Start the stack and tell the whole story over HTTP, step by step
	@exec $(BIN)/python -m supportly stack demo

test: setup ## Run the tests (PYTEST_ARGS="-k oauth" chooses some)
	@exec $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

coverage: setup ## Run the tests and measure branch coverage
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --cov --cov-report=term $(PYTEST_ARGS)

browser: setup ## Test the console in a real Chromium (BROWSER_ARGS="-k search" chooses some)
	@if [ -z "$${SUPPORTLY_CHROMIUM:-}" ] && ! command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null; then \
		echo "No Chromium is installed: apt-get install chromium (or brew install --cask chromium), or name one with SUPPORTLY_CHROMIUM=/path/to/it." >&2; \
		exit 1; fi
	@SUPPORTLY_BROWSER=must exec $(BIN)/python -m pytest -m browser tests/console $(BROWSER_ARGS)

screenshots: setup ## Draw docs/images/ anew: the main pages of the console, of a stack of their own
	@exec $(BIN)/python -m tests.console.screenshots

proofs: setup ## Run the long suites whole; `make test` runs a tenth of them
	@SUPPORTLY_PROOFS=whole exec $(BIN)/python -m pytest -m slow -o timeout=3600 $(PYTEST_ARGS)

drills: setup ## Break the stack on purpose and count what is lost (an hour; DRILLS=quick: nine minutes; DRILLS_ARGS="--seed 2")
	@exec $(BIN)/python -m drills $(DRILLS_ARGS)

bench: setup ## Measure, each figure as one JSON object with what it is compared to, and draw the plots of docs/ (half an hour)
	@mkdir -p .cache && rm -f .cache/figures.jsonl
	@$(BIN)/python -m bench.api | tee -a .cache/figures.jsonl
	@$(BIN)/python -m bench.ingest --docs 2000 20000 100000 --langchain 2000 20000 --http 2000 | tee -a .cache/figures.jsonl
	@$(BIN)/python -m bench.search | tee -a .cache/figures.jsonl
	@$(BIN)/python -m bench.search --manuals | tee -a .cache/figures.jsonl
	@.cache/peers/bin/python bench/plot.py .cache/figures.jsonl docs

histories: setup ## Record a history of every course of every workflow, for docs/changing-workflows.md (VERSION=2027-03)
	@exec $(BIN)/python -m tests.replay.record $(VERSION) $(SCENARIOS)

check: setup ## Lint, format, types, import contracts: all that CI checks besides the tests
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/ruff format --check $(PACKAGES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code and mend what ruff can mend
	$(BIN)/ruff format $(PACKAGES)
	$(BIN)/ruff check --fix $(PACKAGES)

site: setup ## Build the docs as a site into .cache/site; links and anchors are checked
	@NO_MKDOCS_2_WARNING=1 exec $(BIN)/mkdocs build --strict --quiet

sbom: setup ## Write what is installed, as a CycloneDX SBOM, to .cache/sbom.json (SBOM=/path/to/another)
	@mkdir -p "$(dir $(SBOM))"
	@exec $(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible $(SBOM_ARGS) -o "$(SBOM)" $(BIN)/python

docs: setup ## Write docs/providers.md anew from the providers' own files
	@exec $(BIN)/python -m supportly.dev.pages

lock: ## Compile requirements.lock anew from pyproject.toml (needs uv; UPGRADE=1 takes newer versions)
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --quiet $(if $(UPGRADE),--upgrade) -o requirements.lock

clean: ## Remove .stack, .venv and every cache
	@exec "$(PYTHON)" -I supportly/dev/setup.py clean
