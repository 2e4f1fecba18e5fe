.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
CASE ?=
SOURCES := reconciler nodeagent tests benchmarks scripts

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

setup: ## system packages (Debian 12, root) and .venv; quick when all is there
	@scripts/setup

demo: setup ## the main job on three hosts of this machine (simulated ones where that cannot work)
	@scripts/demo

test: setup check ## all tests
	$(PYTHON) -m pytest tests/unit tests/scenarios tests/timelines tests/laws -n 2 -q
	@# Guests on a busy machine may miss a limit: what fails is told, and tried once more, alone.
	$(PYTHON) -m pytest tests/lab -n 2 --dist loadfile -q || $(PYTHON) -m pytest tests/lab -q --last-failed --last-failed-no-failures none

check: setup ## format, lint, types, imports, generated files, links
	.venv/bin/ruff format --check $(SOURCES)
	.venv/bin/ruff check $(SOURCES)
	.venv/bin/mypy
	.venv/bin/mypy scripts/*.py
	.venv/bin/lint-imports --no-logo
	$(PYTHON) scripts/check_generated.py

unit: ## the quick tests only
	$(PYTHON) -m pytest tests/unit -n 2 -q

accept: ## rewrite the golden files of one scenario: make accept CASE=placement/largest-first
	$(PYTHON) -m tests.scenarios.accept $(CASE)

crds: ## crds/ from the schemas
	.venv/bin/ostler crds --out crds

docs: ## generated pages: the plan's schema, the agent's API, the manifests' reference
	$(PYTHON) scripts/check_generated.py --write

fmt: ## format
	.venv/bin/ruff format $(SOURCES)
	.venv/bin/ruff check --fix $(SOURCES)

bench: setup ## docs/performance.md's numbers on this machine
	$(PYTHON) -m benchmarks

packages: setup ## a .deb of controller and agent in dist/
	@scripts/packages

.PHONY: help setup demo test check unit accept crds docs fmt bench packages
