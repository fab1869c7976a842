# make help lists the targets.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
STAMP := build/setup.stamp

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-11s %s\n", $$1, $$2}'

setup: $(STAMP) ## Debian packages, virtual environment, the package with its compiled /pause (idempotent)

$(STAMP): pyproject.toml hatch_build.py buildhooks/*.py src/polong/*/csrc/*.c tools/setup.sh
	@tools/setup.sh

images: setup ## nginx and busybox:1.28 as OCI archives in build/images
	@$(PY) -m tools.images

demo: setup ## start a node and run the page's Pod, terminal and all
	@$(PY) -m tools.demo

test: setup ## the whole test-suite
	@$(PY) -m tools.images --quiet
	$(PY) -m pytest --reruns 2 --reruns-delay 1

unit: setup ## tests without containers
	$(PY) -m pytest tests/unit tests/contract tests/repo

check: setup ## format, lint, types, import contracts, repository tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m pytest -q tests/repo

bench: setup ## measure beside podman and containerd, in one run
	@$(PY) -m tools.bench

bench-cri: setup ## measure each call of the runtime beside containerd, a pull beside podman too; writes the table of docs/cri.md
	@$(PY) -m tools.bench.cri --docs docs/cri.md

bench-api: setup ## measure the API server alone, from 100 to 10,000 Pods; writes the table of docs/api.md
	@$(PY) -m tools.bench.api --docs docs/api.md

conformance: setup ## every behaviour of Kubernetes with its test, the long ones too; writes docs/conformance.md
	@$(PY) -m tools.images --quiet
	@$(PY) -m tools.conformance

slow: setup ## the tests that make test leaves out because they must wait
	@$(PY) -m tools.images --quiet
	$(PY) -m pytest -m slow

vm: setup ## a part of the tests in a virtual machine with Debian's kernel: cgroups v2 (ARGS='--cgroups v1'), AppArmor, Yama
	@$(PY) -m tools.images --quiet
	@$(PY) -m tools.vm $(ARGS)

reference: setup ## write docs/cli.md from the commands' own help, the tables of docs/api.md from the registry of kinds
	@$(PY) -m tools.reference
	@$(PY) -m tools.served

clean: ## remove what was built (not the virtual environment)
	rm -rf build dist src/polong/linux/bin src/polong/oci/bin src/polong/objects/schema.json

.PHONY: help setup images demo test unit check bench bench-cri bench-api conformance slow vm reference clean
