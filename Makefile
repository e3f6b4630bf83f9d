PYTHON := .venv/bin/python
FEEDMILL := devstack/feedmill
.DEFAULT_GOAL := help
.PHONY: help bootstrap up down restart status logs seed oracle explain rebuild reconcile hash dlq check unit test check-install lint fmt contracts advisories sbom dashboards check-dashboards bench chaos drill-alerts soak check-k8s run-k8s

help: ## show this list
	@awk -F ':.*## ' '/^##@ / {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Prometheus and Alertmanager are installed for what needs them: the tests of alerts, and a system that is observed.
check unit test check-dashboards drill-alerts: export WITH_ALERTING := 1
up: export WITH_ALERTING := $(OBS)
# Their S3 server, too.
test: export WITH_S3 := 1

##@ Run

bootstrap: ## install what this machine lacks
	@devstack/bootstrap

up: bootstrap ## start the whole system (again: whatever does not run); OBS=1 with Prometheus and Alertmanager
	@$(PYTHON) -m devstack up $(if $(OBS),--observability)

down: ## stop it; CLEAN=1 forgets the data too
	@$(PYTHON) -m devstack down $(if $(CLEAN),--clean)

restart: ## replace every process by a new one, without failing a request
	@$(PYTHON) -m devstack restart

status: ## every process: state, port, memory
	@$(PYTHON) -m devstack status

logs: ## follow all logs; NAME=feed for one
	@$(PYTHON) -m devstack logs $(NAME)

##@ Operate

seed: ## add to the sample world: USERS=30 POSTS=60
	@$(FEEDMILL) seed $(if $(USERS),--users $(USERS)) $(if $(POSTS),--posts $(POSTS))

oracle: ## recompute feeds from the records, name what the real ones have wrong; ARGS="--fresh <reader> …"
	@$(FEEDMILL) oracle $(ARGS)

explain: ## why POST=<id> is, or is not, in the feed of READER=<id>
	@$(FEEDMILL) explain $(READER) $(POST)

rebuild: ## feed lists anew from the records; ARGS="<reader> …", "--bucket 3", "--all", "--dry-run"
	@$(FEEDMILL) rebuild $(ARGS)

reconcile: ## compare all counts with what they count, and mend those that are wrong; ARGS="<user> …", "--dry-run"
	@$(FEEDMILL) reconcile $(ARGS)

hash: ## what stands for ACCOUNT=<id> in the logs
	@$(FEEDMILL) hash $(ACCOUNT)

dlq: ## dead letters; ARGS="list", "show posts 7", "replay posts 7 9", "drop posts --group fanout"
	@$(FEEDMILL) dlq $(or $(ARGS),list)

##@ Test

check: bootstrap ## before each commit, in less than a minute: lint and unit, side by side
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint unit

unit: bootstrap ## the fast tests that need no store and no running system; ARGS="-k feed" goes to pytest
	@.venv/bin/pytest -m "not stores and not stack and not slow" $(ARGS)

test: bootstrap ## every test, on real stores; ARGS="-k feed" goes to pytest
	@.venv/bin/pytest $(ARGS)

dashboards: ## the figures of dashboards as text, after `make up OBS=1`; NAME="overview feed"
	@$(PYTHON) -m deploy.observability.show $(NAME)

check-dashboards: bootstrap ## every expression of every dashboard, asked of a real Prometheus, without and under load
	@$(PYTHON) -m devstack up
	@$(PYTHON) -m deploy.observability.check

check-k8s: bootstrap ## the manifests of every overlay; with KUBECONFIG, in that cluster (dry-run)
	@$(PYTHON) -m deploy.k8s check

run-k8s: bootstrap ## run the overlay local on this node, as root, and restart everything under load; LOAD="kind load image-archive"
	@$(PYTHON) -m deploy.k8s.run $(if $(LOAD),--load "$(LOAD)")

check-install: ## both README commands on bare Debian 12 and 13; SUITE=trixie for one
	@tests/platforms/check-install $(SUITE)

##@ Develop

lint: bootstrap ## linters, types, import rules, contracts, language
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PYTHON) -m libs.contracts check
	@$(PYTHON) -m libs.telemetry check
	@$(PYTHON) -m deploy.observability check
	@$(PYTHON) -m gateway.errors_page check
	@$(PYTHON) .ci/prose

fmt: ## format and fix
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

contracts: bootstrap ## write schemas and the pages about events, metrics, errors and alerts from the code
	@$(PYTHON) -m libs.contracts write
	@$(PYTHON) -m libs.telemetry write
	@$(PYTHON) -m deploy.observability write
	@$(PYTHON) -m gateway.errors_page write

advisories: bootstrap ## known vulnerabilities of the pinned packages, where PyPI can be asked
	@.ci/advisories

sbom: bootstrap ## the software bill of materials of each image's Python packages, to build/sbom
	@.ci/sbom

##@ Measure

bench: ## the benchmarks, on the running system; ARGS="feed" for one, GRAPH=<edge list>; COMPARE="old.json new.json"
	@$(PYTHON) -m $(if $(COMPARE),bench --compare $(COMPARE),devstack run bench $(if $(GRAPH),--graph $(GRAPH)) $(ARGS))

chaos: ## faults under load on the running system, and what became of it; ONLY="redis,hostile" for some
	@$(PYTHON) -m chaos matrix "$(ONLY)"

drill-alerts: bootstrap ## fire every page by a real fault, about 75 minutes; ONLY="redis,clean load" for some
	@$(PYTHON) -m chaos alerts "$(ONLY)"

soak: ## a mixed load for MINUTES=30: memory, lag and errors
	@$(PYTHON) -m chaos soak $(or $(MINUTES),30)
