# The one way in, for people and machines alike: `make help` says what there is.

# The first Python that is new enough; `make PY=/path/to/python …` names another.
PY ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && exit; done; echo python3)
BIN := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup run test test-fast check lock bench bench-full crash races clean system

help: ## Say what there is
	@echo 'Twinlock: two-factor authentication for FastAPI.'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Settings come from the environment: TWINLOCK_PORT=9000 make run'
	@echo 'Another Python: make PY=python3.13 setup'

setup: ## Make or refresh .venv from requirements.lock (every other target does it too)
	@$(PY) scripts/bootstrap.py

run: export TWINLOCK_ENVIRONMENT := $(or $(TWINLOCK_ENVIRONMENT),development)
run: setup ## Start the server for development, with database, keys and first admin
	@$(BIN)/python -m twinlock serve --init

test: system setup check ## Run everything that a release needs; installs missing system programs
	@TESTS_REQUIRE=all $(BIN)/pytest -n auto --dist worksteal

test-fast: setup check ## Run the checks and the tests that need neither PostgreSQL nor a browser
	@$(BIN)/pytest -n auto --dist worksteal -m 'not postgres and not browser'

check: setup ## Check formatting, lint, types, import contracts and the rules of the house
	@$(MAKE) --no-print-directory --keep-going .format .lint .types .imports .rules

.PHONY: .format .lint .types .imports .rules
.format:
	@$(BIN)/ruff format --check --quiet . || { echo 'Mend it with: $(BIN)/ruff format .'; exit 1; }
.lint:
	@$(BIN)/ruff check --quiet .
.types:
	@$(BIN)/mypy
.imports:
	@$(BIN)/lint-imports --no-logo
.rules:
	@$(BIN)/python scripts/check_rules.py

lock: ## Resolve pyproject.toml into requirements.lock (needs uv; UPGRADE=1 takes newer versions)
	@command -v uv >/dev/null || { echo 'make lock needs uv: pip install uv' >&2; exit 1; }
	@uv pip compile --quiet --universal $(if $(UPGRADE),--upgrade) --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --all-extras --group dev \
		pyproject.toml -o requirements.lock
	@$(PY) scripts/bootstrap.py

bench: setup ## Measure against bare FastAPI and five other projects; one table
	@$(BIN)/python -m benchmarks

bench-full: setup ## Measure everything, the slow parts too
	@$(BIN)/python -m benchmarks --full

DATABASE ?= sqlite
MINUTES ?= 10

crash: setup ## Kill servers in the middle of everything; DATABASE=postgres MINUTES=60
	@$(BIN)/python -m reliability crash --database $(DATABASE) --minutes $(MINUTES)

races: setup ## Send each single-use secret 64 times at once; DATABASE=postgres MINUTES=60
	@$(BIN)/python -m reliability races --database $(DATABASE) --minutes $(MINUTES)

screenshots: setup system ## Photograph the main pages and record the first ten minutes, for the docs
	@$(BIN)/python scripts/screenshots.py
	@$(BIN)/python scripts/recording.py

clean: ## Remove .venv, caches and results; never data, keys or settings
	@rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis mutants
	@rm -rf build dist site htmlcov .coverage .coverage.*
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

system:
	@$(PY) scripts/system.py
