# Every target is safe to run again: what is done already is skipped. Needs Python 3.11, git and make.
# PYTHON=/path/to/python3.11 names the Python; BUILD=cpu|gpu|api overrides what the machine asks for.

ifeq ($(OS),Windows_NT)
$(error afgap runs on Linux and macOS; on Windows install WSL2 and run the same command inside it)
endif

SETUP := sh scripts/setup.sh
BIN := .venv/bin

.PHONY: help demo test check env lock

help:
	@echo "make demo    set up, then run the quickstart study on a small real model"
	@echo "make test    set up, then every gate and test"
	@echo "make check   set up, then ruff, the format and mypy"
	@echo "make env     set up .venv from the lock files in requirements/"
	@echo "make lock    write the lock files anew from pyproject.toml (UPGRADE=1: newest versions)"

demo: env
	@$(SETUP) demo

test: check
	@$(SETUP) browser
	$(BIN)/python -m pytest

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

env:
	@$(SETUP) env

lock: env
	sh scripts/lock.sh
