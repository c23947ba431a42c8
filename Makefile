# Everything is installed into .venv. The stamp files in there make a second run quiet and instant.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
PYTHONS := $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14
HOST ?= 127.0.0.1
PORT ?= 8000
RUNS ?= runs/default
DATA ?= data/fod-a
# A file of ImageNet weights instead of timm's hub: make train-default WEIGHTS=path/to/mobilenetv2_100.safetensors
BACKBONE := $(if $(WEIGHTS),--set backbone_weights=$(WEIGHTS))
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: help serve demo test check format bench install train-default clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

serve: $(VENV)/.serve ## start the service on the default bundle: make serve PORT=8000
	@exec $(BIN)/weaksam serve --host $(HOST) --port $(PORT)

demo: $(VENV)/.serve ## find the tagged things in a sample picture, write demo.png
	@$(BIN)/weaksam detect samples/runway.jpg --tags 'adjustable wrench,bolt nut set,fuel cap,wire' --overlay demo.png

test: $(VENV)/.all ## run the tests: make test PYTEST_ARGS="-k labels"
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.all ## formatting, lint and types
	@$(BIN)/ruff format --check --quiet . || { echo "run 'make format'" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

format: $(VENV)/.all ## rewrite the code in the house format
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

bench: $(VENV)/.all ## measure speed as ratios, write out/bench.json: make bench BENCH_ARGS="--only detect"
	@$(BIN)/python -m tests.bench --json out/bench.json --sam-run $(RUNS)/sam $(BENCH_ARGS)

install: $(VENV)/.all ## install everything: service, training, tools

train-default: $(VENV)/.all ## train the default bundle anew from DATA (hours without an accelerator)
	$(BIN)/weaksam data scenes --out $(RUNS)/scenes --count 700 --seed 1 --size 480x640
	$(BIN)/weaksam train sam --config training/configs/sam_256.toml $(BACKBONE) --out $(RUNS)/sam_256
	$(BIN)/weaksam train sam --config training/configs/sam.toml --set initial=$(RUNS)/sam_256/sam.safetensors --out $(RUNS)/sam
	$(BIN)/weaksam train cam --config training/configs/cam.toml $(BACKBONE) --data $(DATA) --data $(RUNS)/scenes --out $(RUNS)/cam
	$(BIN)/weaksam export --sam $(RUNS)/sam --cam $(RUNS)/cam --config deploy/configs/default.toml --out $(RUNS)/proposer
	$(BIN)/weaksam train wsod --config training/configs/wsod.toml --data $(DATA) --data $(RUNS)/scenes \
	  --cam $(RUNS)/cam --proposals $(RUNS)/proposer --out $(RUNS)/wsod
	$(BIN)/weaksam export --sam $(RUNS)/sam --cam $(RUNS)/cam --wsod $(RUNS)/wsod --config deploy/configs/default.toml \
	  --out models/default_bundle

clean: ## remove caches and build leftovers; .venv and runs/ stay
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis demo.png
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# A folder without a working pip is what an interrupted or refused `python -m venv` leaves behind.
$(VENV)/.python:
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  for python in $(PYTHONS); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    "$$python" -m venv --clear $(VENV) && break; \
	  done; \
	}
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  echo "Python 3.11 or newer with its venv module is needed: on Debian, apt-get install python3 python3-venv" >&2; \
	  exit 1; \
	}
	@touch $@

$(VENV)/.serve: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing what serving needs into $(VENV) ..." >&2
	@$(INSTALL) -e '.[cpu]'
	@touch $@

$(VENV)/.all: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing everything into $(VENV): about two minutes and 6 GB ..." >&2
	@$(INSTALL) -e '.[cpu,triton,train,dev]'
	@touch $(VENV)/.serve $@
