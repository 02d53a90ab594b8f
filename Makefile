# The two commands: `make run` starts a whole platform on this machine, `make test` proves the checkout sound.
# Everything they need is set up on the first call, into .venv; a second call finds it there.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && exit; done; echo python3)
BIN := .venv/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run down status test lint types layers unit simulate scenarios format bench lock e2e e2e-up e2e-down bench-e2e generate manifests picture setup setup-dev clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup:
	@$(PYTHON) scripts/setup.py run

setup-dev:
	@$(PYTHON) scripts/setup.py dev

run: setup ## Bring up a whole platform on this machine (ARGS=--once ends when it is ready)
	@$(BIN)/cozystack up $(ARGS)

status: setup ## Show the state of the platform of `make run`
	@$(BIN)/cozystack status $(ARGS)

down: setup ## Stop the platform of `make run` (ARGS=--wipe forgets its state)
	@$(BIN)/cozystack down $(ARGS)

test: setup-dev lint types layers unit ## Lint, types, layers and tests

lint: setup-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup-dev
	@$(BIN)/mypy
	@MYPYPATH=src:tests:. $(BIN)/mypy --explicit-package-bases tests bench scripts e2e

layers: setup-dev
	@$(BIN)/lint-imports --no-cache

unit: setup-dev
	@$(BIN)/pytest -n auto --dist loadgroup $(ARGS)

FIRST ?= 0
LAST ?= 10000

simulate: setup-dev ## Break a platform at random, by seeds FIRST to LAST, and see it converge
	@$(BIN)/python tests/simulation/run.py --first $(FIRST) --last $(LAST) $(ARGS)

scenarios: setup-dev ## Install, update, migrate, break and repair whole platforms (minutes)
	@$(BIN)/pytest -q -n auto --dist load -m 'slow or not slow' tests/scenarios tests/image tests/walkthroughs tests/cozypkg $(ARGS)

format: setup-dev ## Format the code
	@$(BIN)/ruff check --fix-only . ; $(BIN)/ruff format .

bench: setup-dev ## Measure, print a table and store JSON under bench/results
	@$(BIN)/python -m bench $(ARGS)

e2e: setup-dev ## Test on a real control plane and Flux, built from Go modules (needs Go; cold 20 minutes and more)
	@$(BIN)/python -m e2e test $(ARGS)

e2e-up: setup-dev ## Start a real control plane and leave it running
	@$(BIN)/python -m e2e up $(ARGS)

e2e-down: setup-dev ## Stop the control plane of `make e2e-up` (ARGS=--wipe forgets its state)
	@$(BIN)/python -m e2e down $(ARGS)

bench-e2e: setup-dev ## Measure on a real control plane, print a table and store JSON under bench/results
	@$(BIN)/python -m e2e.bench $(ARGS)

generate: setup-dev ## Write generated files again (CRDs, the reference of cozypkg)
	@$(BIN)/python -m cozystack.api.generate
	@$(BIN)/cozypkg docs --to docs
	@$(BIN)/python -m cozystack.migrate.generate
	@$(BIN)/python scripts/known_values.py

manifests: setup-dev ## Write deploy/manifests again: the installer for people without Helm
	@$(BIN)/python scripts/manifests.py

lock: ## Write the lock files again (needs uv)
	@scripts/lock.sh

picture: setup-dev ## Record docs/run.svg again
	@$(BIN)/python scripts/record.py

clean: ## Remove the virtual environment and caches
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
