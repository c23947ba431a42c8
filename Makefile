# Everything is installed into .venv. The stamp files in there make a second run quiet and instant.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
TRITON := .venv-triton
RAY := .venv-ray
TOOLS := .venv-tools
LABEL_STUDIO := .venv-labelstudio
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
PYTHONS := $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14
HOST ?= 127.0.0.1
PORT ?= 8000
RUNS ?= runs/default
DATA ?= data/fod-a
# A file of ImageNet weights instead of timm's hub: make train-default WEIGHTS=path/to/mobilenetv2_100.safetensors
SAM_WEIGHTS := $(if $(WEIGHTS),--set backbone_weights=$(WEIGHTS))
CAM_WEIGHTS := $(if $(WEIGHTS),--set cam.backbone_weights=$(WEIGHTS))
MONITORING := deploy/monitoring
PYTEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: help serve demo docs test test-triton triton-server ray tools label-studio check check-deploy docker up-cpu format bench install train-default clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

serve: $(VENV)/.serve ## start the service on the default bundle: make serve PORT=8000
	@exec $(BIN)/weaksam serve --host $(HOST) --port $(PORT)

demo: $(VENV)/.serve ## find the tagged objects in a sample image, write demo.png
	@$(BIN)/weaksam detect samples/taxiway.jpg --tags 'tape,paint chip,adjustable clamp,wrench' --overlay demo.png

docs: $(VENV)/.all ## build docs/ into a site with a search, site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean

test: $(VENV)/.all ## run the tests: make test PYTEST_ARGS="-k labels"
	@$(MAKE) --no-print-directory triton-server || echo "There is no tritonserver: the tests that need it are skipped." >&2
	@$(MAKE) --no-print-directory ray || echo "Ray cannot be installed: the tests that need it are skipped." >&2
	@$(MAKE) --no-print-directory tools || echo "The labelling tools cannot be installed: the tests that need them are skipped." >&2
	@$(MAKE) --no-print-directory label-studio || echo "Label Studio cannot be installed: its tests are skipped." >&2
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-triton: $(VENV)/.all triton-server ## run the tests against a real tritonserver
	@$(BIN)/python -m pytest tests/contract tests/integration/triton $(PYTEST_ARGS)

ray: $(RAY)/.installed ## install Ray for its tests, 520 MB, into an environment that stands on .venv

tools: $(TOOLS)/.installed ## install the labelling tools' own code for the tests, 600 MB, into an environment that stands on .venv

label-studio: $(LABEL_STUDIO)/.installed ## install Label Studio for its tests, 1 GB, into an environment of its own

triton-server: $(TRITON)/.installed ## install the tests' tritonserver, 450 MB, into an environment of its own

check: $(VENV)/.all check-deploy ## formatting, lint, types and the files of deploy/
	@$(BIN)/ruff format --check --quiet . || { echo "run 'make format'" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

check-deploy: $(VENV)/.all ## lint the Dockerfile, validate the files of compose, Prometheus and Kubernetes
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/python -m tests.support.deploy.manifests
	@if command -v promtool >/dev/null; then \
	  found=$$(promtool check config $(MONITORING)/prometheus.yml 2>&1 && promtool test rules $(MONITORING)/alerts_test.yml 2>&1) \
	    || { echo "$$found" >&2; exit 1; }; \
	else echo "There is no promtool: deploy/monitoring is not checked." >&2; fi
	@if docker compose version >/dev/null 2>&1; then \
	  docker compose config --quiet; \
	  docker compose --profile cpu config --quiet; \
	  API_KEYS_FILE=keys.json docker compose -f docker-compose.yml -f deploy/compose/keys.yml config --quiet; \
	  WEAKSAM_LABEL_STUDIO_URL=http://host LABEL_STUDIO_TOKEN_FILE=token \
	    docker compose -f docker-compose.yml -f deploy/compose/label-studio.yml config --quiet; \
	else echo "There is no docker compose: docker-compose.yml is not checked." >&2; fi

docker: ## build the gateway's image, weaksam-gateway
	@docker build --target gateway --tag weaksam-gateway .

up-cpu: ## the service in Docker, without a GPU
	@docker compose --profile cpu up --build --detach --wait

format: $(VENV)/.all ## rewrite the code in the house format
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

bench: $(VENV)/.all ## measure speed as ratios, write out/bench.json: make bench BENCH_ARGS="--only detect"
	@$(BIN)/python -m tests.bench --json out/bench.json $(BENCH_ARGS)

install: $(VENV)/.all ## install everything: service, training, tools

train-default: $(VENV)/.all ## train the default bundle anew from DATA (hours without an accelerator)
	$(BIN)/weaksam train sam --config training/configs/stages/sam_160.toml $(SAM_WEIGHTS) --out $(RUNS)/sam_160
	$(BIN)/weaksam train sam --config training/configs/stages/sam.toml --set initial=$(RUNS)/sam_160/sam.safetensors --out $(RUNS)/sam
	$(BIN)/weaksam train training/configs/default.toml $(CAM_WEIGHTS) --set sam=$(RUNS)/sam --set 'data.folders=["$(DATA)"]' --out $(RUNS)/path
	cp $(RUNS)/path/bundle/* models/default_bundle/

clean: ## remove caches and build leftovers; .venv and runs/ stay
	@rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis demo.png
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
	@$(INSTALL) -e '.[cpu,triton,otel,cloud,cvat,train,dev,docs]'
	@touch $(VENV)/.serve $@

# Its Python backend needs numpy 1, for which there are no wheels beyond Python 3.12.
$(TRITON)/.installed: tests/support/triton/requirements.txt
	@echo "Installing a tritonserver for the tests into $(TRITON) ..." >&2
	@for python in $(PYTHONS); do \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null || continue; \
	  "$$python" -m venv --clear $(TRITON) && break; \
	done
	@$(TRITON)/bin/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

# Environments that see the packages of .venv and add their own.
define stand_on_venv
	@$(BIN)/python -m venv --clear $(1)
	@purelib='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	  echo "import site; site.addsitedir('$$($(BIN)/python -c "$$purelib")')" \
	    > "$$($(1)/bin/python -c "$$purelib")/project.pth"
endef

# Ray is larger than all of serving, so it is kept out of .venv.
$(RAY)/.installed: $(VENV)/.all
	@echo "Installing Ray for the tests into $(RAY) ..." >&2
	$(call stand_on_venv,$(RAY))
	@$(RAY)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt 'ray[data]'
	@touch $@

$(TOOLS)/.installed: tests/support/labelling_tools/requirements.txt $(VENV)/.all
	@echo "Installing the labelling tools for the tests into $(TOOLS) ..." >&2
	$(call stand_on_venv,$(TOOLS))
	@$(TOOLS)/bin/python -m pip install -qq --disable-pip-version-check --no-deps -r $<
	@touch $@

$(LABEL_STUDIO)/.installed: tests/support/label_studio/requirements.txt $(VENV)/.python
	@echo "Installing Label Studio for the tests into $(LABEL_STUDIO) ..." >&2
	@$(BIN)/python -m venv --clear $(LABEL_STUDIO)
	@$(LABEL_STUDIO)/bin/python -m pip install -qq --no-compile --disable-pip-version-check -r $<
	@touch $@
