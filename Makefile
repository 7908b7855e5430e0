# Every target installs what it lacks into .venv first. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$python && break; done)

# schemathesis has nothing to do in unit tests, and its part for xdist imports modules while other threads end.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile -p no:schemathesis
BUILDER ?= $(shell for builder in docker podman buildah; do command -v $$builder >/dev/null && echo $$builder && break; done)

export RAY_USAGE_STATS_ENABLED ?= 0
export TOKENIZERS_PARALLELISM ?= false
export PYTHONWARNINGS ?= ignore
export TRANSFORMERS_VERBOSITY ?= error
export DIFFUSERS_VERBOSITY ?= error

.PHONY: help setup demo serve submit-train submit-prepare submit-walk helm-diff lint format type test test-all test-web \
	test-cluster test-cluster-all test-release test-release-all chart cluster-up cluster-down cluster-status image bench lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## install the pinned, hashed dependencies and momalisa itself into .venv

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 found: install one, or say make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (some 6 GB with torch's CUDA build; minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP)  ## draw artworks, make shards, fine-tune the miniature model, print the verdict (minutes on a CPU)
	@$(BIN)/python jobs/demo.py --output runs/demo $(if $(ARTWORKS),--artworks $(ARTWORKS)) $(ARGS)

serve: $(STAMP)  ## the service and its page on this machine, with the miniature model (ARGS="--port 8000 --model URI")
	@$(BIN)/python serve/app.py --open $(ARGS)

# What the three have in common; IMAGE may also be in the environment, as MOMALISA_IMAGE. NAME is taken from the command
# line alone: WSL, for one, exports the machine's. Whatever goes wrong, make's own exit code is 2.
SUBMIT = $(BIN)/momalisa jobs submit $(1) --data "$(DATA)" --output "$(OUTPUT)" \
	$(if $(filter command,$(origin NAME)),--name "$(NAME)") $(if $(IMAGE),--image "$(IMAGE)") $(if $(NUM_WORKERS),--num-workers "$(NUM_WORKERS)") \
	$(if $(QUEUE),--queue "$(QUEUE)") $(if $(CONTEXT),--context "$(CONTEXT)") $(if $(NAMESPACE),--namespace "$(NAMESPACE)")

# Said before anything is installed.
NEEDED := $(addprefix needs-,RECIPE DATA OUTPUT MODEL)
.PHONY: $(NEEDED)
$(NEEDED): needs-%:
	@$(if $($*),:,$(error $* is missing: make $(MAKECMDGOALS) $*=…; `make help` shows all that it takes))

submit-train: needs-RECIPE needs-DATA needs-OUTPUT $(STAMP)  ## train on a cluster: RECIPE=sd14_full DATA=gs://… OUTPUT=gs://… [IMAGE NAME NUM_WORKERS QUEUE CONTEXT ARGS]
	@$(call SUBMIT,train) --recipe "$(RECIPE)" $(ARGS)

submit-prepare: needs-DATA needs-OUTPUT $(STAMP)  ## make shards on a cluster: DATA=gs://artworks OUTPUT=gs://dataset [… ARGS]
	@$(call SUBMIT,prepare) $(ARGS)

submit-walk: needs-MODEL needs-DATA needs-OUTPUT $(STAMP)  ## make walks on a cluster: MODEL=gs://… DATA=gs://requests.jsonl OUTPUT=gs://… [… ARGS]
	@$(call SUBMIT,walk) --model "$(MODEL)" $(ARGS)

helm-diff: $(STAMP)  ## what an upgrade of the service would do: VALUES=values.yaml [RELEASE CHART CONTEXT NAMESPACE ARGS]
	@$(BIN)/momalisa release plan "$(or $(RELEASE),momalisa)" $(foreach file,$(VALUES),--values "$(file)") $(if $(CHART),--chart "$(CHART)") \
		$(if $(CONTEXT),--context "$(CONTEXT)") $(if $(NAMESPACE),--namespace "$(NAMESPACE)") $(ARGS)

lint: $(STAMP)  ## ruff: errors and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(STAMP)  ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

type: $(STAMP)  ## mypy, strict, on src and jobs
	@$(BIN)/mypy

test: $(STAMP)  ## unit tests, side by side, and integration tests (some ten minutes on two cores)
	@$(BIN)/python -m tests.support.gcs_emulator --build
	@$(BIN)/python -m tests.cluster.binaries
	@PYTHONWARNINGS= $(BIN)/python -m pytest tests/unit $(SIDE_BY_SIDE) $(ARGS)
	@PYTHONWARNINGS= $(BIN)/python -m pytest tests/integration -m "not slow" $(ARGS)

test-all: $(STAMP)  ## the longer drills: kills, resumes, faults, the demo itself
	@PYTHONWARNINGS= $(BIN)/python -m pytest tests/integration -m slow $(ARGS)

test-web: $(STAMP)  ## the page in a real browser, against the real service (needs a Chromium; minutes)
	@PYTHONWARNINGS= $(BIN)/python -m pytest tests/web $(ARGS)

test-cluster: $(STAMP)  ## jobs on a real Kubernetes with KubeRay: that of KUBECONFIG, or one raised here (Linux, root)
	@PYTHONWARNINGS= $(BIN)/python -m pytest tests/cluster --ignore tests/cluster/release -m "not slow" $(ARGS)

test-cluster-all: $(STAMP)  ## its longer drills: lost pods, a drained node, memory, a queue, an API server that is away
	@PYTHONWARNINGS= $(BIN)/python -m pytest tests/cluster --ignore tests/cluster/release -m slow $(ARGS)

test-release: $(STAMP)  ## the Helm chart on that Kubernetes: from nothing to a GIF, a change in place, nothing left (needs a Chromium)
	@PYTHONWARNINGS= $(BIN)/python -m pytest tests/cluster/release -m "not slow" $(ARGS)

test-release-all: $(STAMP)  ## its longer drills: upgrades under traffic, versions that cannot serve, lost pods, sleep
	@PYTHONWARNINGS= $(BIN)/python -m pytest tests/cluster/release -m slow $(ARGS)

chart: $(STAMP)  ## the Helm chart: lint, golden files, rules, policies (needs helm; promtool for the alerts)
	@PYTHONWARNINGS= $(BIN)/python -m pytest tests/unit/helm $(ARGS)

cluster-up: $(STAMP)  ## that cluster on this machine, to stay (minutes at the first time; ARGS="--gpus 8")
	@$(BIN)/python -m tests.cluster up $(ARGS)

cluster-down: $(STAMP)  ## end it, without a trace but for what is built
	@$(BIN)/python -m tests.cluster down

cluster-status: $(STAMP)  ## what of it runs
	@$(BIN)/python -m tests.cluster status

bench: $(STAMP)  ## the benchmarks, each against its baseline, as tables
	@missed=0; for bench in train prepare_memory learning walk gif serve; do \
		echo "== $$bench"; $(BIN)/python tests/bench/$$bench.py || missed=1; done; exit $$missed

image:  ## the container image of jobs and service (IMAGE=registry/momalisa:tag BUILDER=podman BASE_IMAGE=…)
	@$(BUILDER) build --file k8s/Dockerfile --tag $(or $(IMAGE),momalisa:latest) $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
		--build-arg RAY_VERSION=$$(sed -n 's/^ray==\([^ ]*\).*/\1/p' requirements.lock) \
		--build-arg MOMALISA_VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' src/momalisa/__init__.py) $(ARGS) .

lock:  ## resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links --extra dev --extra tracking -o requirements.lock

clean:  ## remove what can be made again, but for .venv and runs
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
