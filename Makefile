# What a developer runs; `make help` lists it. Everything lives in .venv, which the first call makes.

PYTHON ?= python3
ENCODER ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports docs

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.installed-demo  ## Run the demonstration; ENCODER=tfidf (or another name) chooses the encoder
	$(BIN)/python -m llmrec.demo $(if $(ENCODER),--encoder $(ENCODER))

test: .venv/.installed-dev  ## Run all tests and all examples in docstrings and documentation
	$(BIN)/python -m pytest

lint: .venv/.installed-dev  ## Check style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.installed-dev  ## Check types
	$(BIN)/mypy

imports: .venv/.installed-dev  ## Check which module imports which
	$(BIN)/lint-imports

docs: .venv/.installed-dev  ## Build the documentation into site/
	$(BIN)/mkdocs build --strict

# A stamp says that what pyproject.toml asks for is installed; dev holds all that demo needs.

.venv/.installed-demo: pyproject.toml | $(BIN)/python
	@echo "Installing llmrec and what the demonstration needs into .venv; this happens once."
	$(PIP) -e '.[demo]'
	@touch $@

.venv/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing llmrec and what developing it needs into .venv; this happens once."
	$(PIP) -e '.[dev]'
	@touch $@ .venv/.installed-demo

$(BIN)/python:
	$(PYTHON) -m venv .venv
