# Two commands on a fresh machine do everything: `make demo` and `make test`.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
# All but torch, which brings gigabytes for graphics cards: its tests make an environment of their own.
EXTRAS := alerts catboost demo grpc lightgbm otel postgres xgboost

.PHONY: help demo test check lint format bench lock clean

help:  ## List the targets.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) was not found. Tidemill needs Python 3.11 or newer; name yours with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q $(VENV)/lib || true
	@touch $@

demo: $(VENV)/.ready  ## Run the closed loop on a year of flights, then say where to look.
	$(BIN)/tidemill demo

test: $(VENV)/.ready  ## Run every test.
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: lint test  ## Lint, types, imports and tests: the whole truth.

lint: $(VENV)/.ready  ## Format, lint, types and import contracts.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready  ## Format the tree.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.ready  ## Measure start-up, and write its section of benchmarks/RESULTS.md.
	$(BIN)/python -m benchmarks

lock: $(VENV)/.ready  ## Renew requirements.lock from pyproject.toml.
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --universal --python-version 3.11 $(addprefix --extra ,$(EXTRAS)) --group dev pyproject.toml -o requirements.lock

clean:  ## Remove the environment and what the tools left.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis tidemill-demo
