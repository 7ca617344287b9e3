# `make setup` builds .venv once; every other target uses it. `make help` lists the targets.

export PATH := $(or $(PATH),/usr/local/bin:/usr/bin:/bin)

# The first Python from 3.11 up that can build a virtual environment; `make setup PYTHON=/path/to/it` picks another.
PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3; do \
	$$candidate -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$candidate && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test lint bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## create .venv with everything a developer needs (updated when the pins change)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer with venv was found; install one, or run: make PYTHON=/path/to/python3 setup" >&2; exit 2; }
	@echo "Installing into $(VENV) with $(PYTHON); torch and others; this takes a few minutes, once, without output." >&2
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --editable '.[train]' --group dev
	@touch $(STAMP)

quickstart: setup ## ask the bundled reader, distil a smaller one from it, and compare both
	$(BIN)/tinyreader quickstart

test: setup ## run the test suite
	$(BIN)/python -m pytest

lint: setup ## check style and types
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check
	$(BIN)/mypy

bench: setup ## measure distillation throughput beside Haystack 1 (builds its environment on first use)
	$(BIN)/python benchmarks/distil_throughput.py

clean: ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
