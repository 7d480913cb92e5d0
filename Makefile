# Bare `make` prints this list. Each target sets up what it needs, once.
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 8080
DATA ?= .localcloud
N ?= 2000
BIN := .venv/bin
READY := .venv/.ready

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## prepare .venv (Python >= 3.11); everything else does this by itself

$(READY): requirements.txt requirements-dev.txt requirements-parsers.txt localcloud/pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Python %d.%d is too old: 3.11 or newer is needed. Name one: make PYTHON=python3.12 ..." % v[:2])'
	@echo "Setting up .venv, once; one to three minutes."
	@echo "  1/4 the environment itself"
	@$(PYTHON) -m venv .venv
	@echo "  2/4 what is deployed (requirements.txt), what development needs (requirements-dev.txt)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@echo "  3/4 Google's parsers of app.yaml and queue.yaml (requirements-parsers.txt)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements-parsers.txt
	@echo "  4/4 localcloud, from its folder"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable ./localcloud
	@touch $(READY)

run: $(READY)  ## start everything on this machine and print the addresses (PORT=8080 DATA=.localcloud)
	@$(BIN)/python -m localcloud app.yaml worker.yaml queue.yaml --port $(PORT) --data $(DATA) --ttl TaskRecord.expire_at $(ARGS)

load: $(READY)  ## send N=2000 increments to what `make run` runs, and prove the sum (ARGS="--batch 100 --keyed")
	@$(BIN)/python -m bench.load --data $(DATA) --count $(N) $(ARGS)

demo: $(READY)  ## run everything with faults on purpose and steady load (PORT=8080); Ctrl-C proves the sum
	@$(BIN)/python -m bench.demo --port $(PORT) --data $(DATA)/demo $(ARGS)

screenshots: $(READY)  ## take the pictures in docs/images (needs Chromium)
	@$(BIN)/python -m bench.screenshots

test: $(READY)  ## run all tests (ARGS="tests/counters -k keyed" picks some)
	$(BIN)/python -m pytest -n 3 --dist loadscope $(ARGS)
ifeq ($(ARGS),)
	cd localcloud && ../$(BIN)/python -m pytest -n 3 --dist loadscope
endif

test-localcloud: $(READY)  ## run localcloud's own tests (ARGS="tests/tasks -k batch", from its folder)
	cd localcloud && ../$(BIN)/python -m pytest -n 3 --dist loadscope $(ARGS)

test-app: $(READY)  ## run the tests of the application and its engine, without the slow ones (ARGS="-k batch")
	$(BIN)/python -m pytest tests -m "not slow" -n 2 --dist loadscope $(ARGS)

check: $(READY)  ## formatting, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd localcloud && ../$(BIN)/mypy

deploy: $(READY)  ## deploy to PROJECT=my-project REGION=us-central1 (DRY_RUN=1 prints the commands, changes nothing)
	@$(BIN)/python -m deploy --project "$(PROJECT)" --region "$(REGION)" $(if $(DRY_RUN),--dry-run) $(if $(filter pause,$(OTHER_QUEUES)),--pause-other-queues) $(if $(STAGE),--stage "$(STAGE)") $(if $(ALERTS),--alerts "$(ALERTS)")

promote: $(READY)  ## give all traffic of PROJECT=my-project to VERSION=v2, which `make deploy STAGE=v2` brought (DRY_RUN=1)
	@$(BIN)/python -m deploy.traffic --project "$(PROJECT)" --version "$(VERSION)" $(if $(DRY_RUN),--dry-run)

rollback: $(READY)  ## give all traffic of PROJECT=my-project back to VERSION=v1 (DRY_RUN=1)
	@$(BIN)/python -m deploy.traffic --back --project "$(PROJECT)" --version "$(VERSION)" $(if $(DRY_RUN),--dry-run)

undeploy: $(READY)  ## take down what can be taken down of PROJECT=my-project (DRY_RUN=1; DELETE_DATA=1)
	@$(BIN)/python -m deploy.undeploy --project "$(PROJECT)" $(if $(DRY_RUN),--dry-run) $(if $(DELETE_DATA),--delete-data) $(if $(CONFIRM),--confirm "$(CONFIRM)")

smoke: $(READY)  ## send one increment twice to URL=http://localhost:8080, see it counted once
	@API_KEY="$(API_KEY)" $(BIN)/python -m deploy.smoke $(or $(URL),http://localhost:$(PORT))

rename: $(READY)  ## make the project yours: NAME=my-service in every place that names it
	@$(BIN)/python -m deploy.rename "$(NAME)"

bare: $(READY)  ## make the project yours without the counters: one tiny kind of task, NAME=my-service
	@$(BIN)/python -m deploy.bare "$(NAME)"

docs: $(READY)  ## write what is generated: localcloud/docs/differences.md
	@cd localcloud && ../$(BIN)/python -m docs.differences

bench: $(READY)  ## measure every bound, beside the peers if gcloud is installed (some ten minutes; ARGS="--only memory")
	@$(BIN)/python -m bench $(ARGS)

bench-quick: $(READY)  ## the same with less of everything (under two minutes on a quiet machine)
	@$(BIN)/python -m bench --quick $(ARGS)

format: $(READY)  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

conformance: $(READY)  ## run google-cloud-datastore's own system tests against our Datastore (downloads them)
	@cd localcloud && ../$(BIN)/python -m bench.conformance

clean:  ## remove what the other targets made: .venv, .localcloud, caches
	rm -rf .venv .localcloud .mypy_cache .ruff_cache .pytest_cache .hypothesis .conformance
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup run load test test-app test-localcloud check deploy promote rollback undeploy smoke rename bare docs bench bench-quick format clean demo screenshots conformance
