SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install up down status logs crawl try-source token run reindex backup restore up-docker down-docker token-docker check release-check release-version test \
  test-all test-docker test-k8s test-upgrade chaos bench lock docs manifests bento

BIN := .venv/bin
LOCAL := $(BIN)/bookwheel-local
CONTAINERS := $(BIN)/python -m bookwheel_local.compose
PROJECTS := $(patsubst %/pyproject.toml,%,$(wildcard packages/*/pyproject.toml services/*/pyproject.toml demo-shop/pyproject.toml deploy/*/pyproject.toml))
SHARED := $(patsubst %/,%,$(wildcard gateway/ tests/ benchmarks/ deploy/k8s/ tools/))

# ENGINES=cluster: PostgreSQL and Elasticsearch instead of SQLite and Tantivy; LAKE=s3: MinIO instead of a folder.
ifdef ENGINES
export BOOKWHEEL_ENGINES := $(ENGINES)
endif
ifdef LAKE
export BOOKWHEEL_LAKE := $(LAKE)
endif

ifdef OVERLAYS
export BOOKWHEEL_COMPOSE_OVERLAYS := $(OVERLAYS)
endif

# SERVICE=processor or SERVICE=catalog names one folder of services/, packages/, deploy/ or the root.
ifdef SERVICE
PARTS = $(or $(firstword $(wildcard services/$(SERVICE) services/$(SERVICE)-* packages/$(SERVICE) deploy/$(SERVICE) $(SERVICE))),$(error SERVICE=$(SERVICE): there is no such part; one of $(notdir $(PROJECTS)) $(SHARED)))
else
PARTS = $(PROJECTS) $(SHARED)
endif

# Without these servers their tests are skipped, except with CI=true.
PREPARE_TESTS := deploy/local/engines.sh s3 gcs postgres elasticsearch helm || [ "$${CI:-}" != true ]
PYTEST = $(BIN)/pytest -n $(or $(WORKERS),3) --dist loadfile --max-worker-restart 0

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  SERVICE=processor narrows check, test and logs to one part."
	@echo "  ENGINES=cluster (PostgreSQL, Elasticsearch) and LAKE=s3 (MinIO) for the first up; it is saved."

install: ## Install what is missing: uv, the Python environment, Redis and nginx
	@deploy/local/bootstrap.sh

up: install ## Start the suite, crawl the demo shop, train a first model, print how to use it
	@$(LOCAL) up

down: ## Stop what `make up` started; data stays
	@if [ -x $(LOCAL) ]; then $(LOCAL) down; else echo "nothing is installed, so nothing runs"; fi

status: install ## Show replicas and their health, backlogs, freshness, latest crawls, models (BOOKWHEEL_URL, BOOKWHEEL_TOKEN for another suite)
	@$(LOCAL) status

logs: install ## Follow the logs (SERVICE=scraper for one; FOLLOW=0 to print and end)
	@$(LOCAL) logs $(if $(filter 0,$(FOLLOW)),--no-follow) $(SERVICE)

crawl: install ## Crawl a source and follow it (SOURCE=toscrape START_URL=https://…)
	@$(LOCAL) crawl $(if $(SOURCE),--source "$(SOURCE)") $(if $(START_URL),--start-url "$(START_URL)")

try-source: install ## Read one page and print what it gives, without publishing (URL=https://… SOURCE=toscrape JSON=1)
	@$(BIN)/bookwheel-scraper try-source "$(or $(URL),$(error which? make try-source URL=https://…))" \
	  $(if $(SOURCE),--source "$(SOURCE)") $(if $(JSON),--json)

token: install ## Print an access token of the demo user
	@$(LOCAL) token

run: install ## Run a command with the suite's URLs (COMMAND='bookwheel-processor quarantine')
	@$(LOCAL) run $(COMMAND)

reindex: install ## Rebuild the search index from the records, while the old one serves
	@$(LOCAL) run bookwheel-processor reindex

backup: install ## Back up records, models, lake and keys, also during a crawl (TO=folder)
	@$(LOCAL) backup $(if $(TO),--to "$(TO)")

restore: install ## Restore a backup into an empty suite (FROM=folder; FORCE=1 moves existing data aside)
	@$(LOCAL) restore --from "$(or $(FROM),$(error which backup? make restore FROM=folder))" $(if $(filter 1,$(FORCE)),--force)

up-docker: install ## Like `up`, in containers, on PostgreSQL and Elasticsearch (OVERLAYS='demo scaling': deploy/compose)
	@$(CONTAINERS) up

down-docker: install ## Stop the containers; data stays in their volumes
	@$(CONTAINERS) down

token-docker: install
	@$(CONTAINERS) token

check: install ## Lint, format, types, import rules, licences, locks, the gateway's configuration
	@$(BIN)/ruff check $(if $(SERVICE),$(PARTS),.)
	@$(BIN)/ruff format --check $(if $(SERVICE),$(PARTS),.)
	@$(BIN)/python -m tools.types $(PARTS)
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tools.repository
	@$(BIN)/python -m tools.settings_page --check
	@$(BIN)/python -m tools.decisions --check
	@$(BIN)/python -m benchmarks.capacity --check
	@$(BIN)/python -m benchmarks.results --check
	@$(BIN)/python -m tools.metrics_page --check
	@$(BIN)/python -m tools.chart readme --check
	@$(BIN)/python -m tools.chart render --check
	@$(BIN)/python -m tools.gateway_check

release-check: check ## Check a release: one version everywhere, its CHANGELOG section, a clean tree, no such tag
	@$(BIN)/python -m tools.release check

release-version: install ## Write a version everywhere and start its CHANGELOG section (VERSION=1.2.3)
	@$(BIN)/python -m tools.release set "$(or $(VERSION),$(error which? make release-version VERSION=1.2.3))"

test: install ## Run the tests except the slow ones, on three processes (ARGS='-k …' goes to pytest)
	@$(PREPARE_TESTS)
	@$(PYTEST) -m 'not slow' $(PARTS) $(ARGS)

test-all: install ## Run all tests, also long simulations and many kills
	@$(PREPARE_TESTS)
	@$(PYTEST) $(PARTS) $(ARGS)

test-docker: install ## Test the images and the containers, with a Docker engine
	@BOOKWHEEL_TEST_CONTAINERS=1 $(BIN)/pytest tests/containers -p no:randomly $(ARGS)

test-k8s: install ## Test the Helm chart on the cluster of the current kubeconfig, in its own namespace (VALUES=file)
	@BOOKWHEEL_TEST_KUBERNETES=1 BOOKWHEEL_TEST_VALUES=$(abspath $(VALUES)) $(BIN)/pytest tests/kubernetes -p no:randomly $(ARGS)

test-upgrade: install ## Test that an upgrade from an earlier commit keeps all data (FROM=commit)
	@deploy/local/engines.sh
	@BOOKWHEEL_UPGRADE_FROM=$(or $(FROM),$(error which? make test-upgrade FROM=commit)) $(BIN)/pytest tests/upgrade -p no:randomly $(ARGS)

chaos: install ## Run chaos rounds: crawls with faults (ROUNDS=40 ENGINES=cluster SEED=7 FIRST=13 ONLY=kill)
	@$(if $(filter cluster,$(ENGINES)),deploy/local/engines.sh)
	@$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),500) --engines $(or $(ENGINES),embedded) \
	  $(if $(SEED),--seed $(SEED)) $(if $(FIRST),--first $(FIRST)) $(if $(ONLY),--only "$(ONLY)") $(if $(JSON),--json "$(JSON)")

bench: ## Run the benchmarks (ARGS=search for some), print a table, write benchmarks/results.json
	@deploy/local/bootstrap.sh wrk=wrk
	@$(BIN)/python -m benchmarks $(ARGS)

lock: ## Lock the dependencies (UPGRADE=1 updates versions)
	@deploy/local/lock.sh

docs: install ## Generate pages: settings, metrics, capacity, index of decisions, values of the chart
	@$(BIN)/python -m tools.settings_page
	@$(BIN)/python -m tools.decisions
	@$(BIN)/python -m benchmarks.capacity
	@$(BIN)/python -m benchmarks.results
	@$(BIN)/python -m tools.metrics_page
	@$(BIN)/python -m tools.chart readme

manifests: install ## Render the chart with helm: the golden files and the kustomize bases
	@$(BIN)/python -m tools.chart render

bento: install ## Build a Bento of ML serving (bentofile.yaml) into BENTOML_HOME and print its tag
	@$(BIN)/python -m tools.bento
