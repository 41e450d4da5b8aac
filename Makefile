# Kitestring: `make day` trades a day on paper, `make test` checks everything.
# Both make their own virtual environment in .venv, once, and reuse it until a lock file changes.

PYTHON ?= python3
ARGS ?=

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
PY := $(BIN)/python

.PHONY: help day rehearsal test proof soak check fmt bench mutants coverage clean lock ready ready-dev
.NOTPARALLEL:
.DEFAULT_GOAL := help

help:  ## this list
	@echo 'make day      trade a synthetic NSE day on paper (more: make day ARGS="--seed 7 --fresh")'
	@echo 'make rehearsal  a live day at a local exchange: faults, a pulled plug, a verdict'
	@echo 'make test     formatting, types, layers and every test (more: make test ARGS="-k charges")'
	@echo 'make proof    try everything promised, under 45 minutes, and write docs/Proof.md (more: make proof ARGS="--tier same_seed")'
	@echo 'make soak     the same for hours; Ctrl-C, and again: it goes on where it stopped'
	@echo 'make check    formatting, types and layers only'
	@echo 'make fmt      format the code and mend what ruff can mend'
	@echo 'make bench    measure bars, ticks, the served exchange and a live day on this machine'
	@echo 'make mutants  break the house a line at a time and see which tests notice (hours; Ctrl-C loses nothing)'
	@echo 'make coverage run every test once and see which lines and branches they reach'
	@echo 'make lock     renew the pinned dependencies of every lock file (needs the network)'
	@echo 'make clean    remove .venv and caches; your artifacts/ stay'

day: ready
	@$(PY) -m scripts.run_day $(ARGS)

rehearsal: ready
	@$(PY) -m kitestring rehearsal $(ARGS)

test: check
	@$(PY) -m pytest $(ARGS)

proof: ready-dev
	@$(PY) -m proof $(ARGS)

soak: ready-dev
	@$(PY) -m proof --scale soak $(ARGS)

check: ready-dev
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check . || { echo 'Some files are not formatted; run: make fmt'; exit 1; }
	@$(PY) -m mypy --no-error-summary
	@layers=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$layers"; exit 1; }

fmt: ready-dev
	@$(PY) -m ruff check --quiet --fix . || true
	@$(PY) -m ruff format .

bench: ready
	@$(PY) -m benchmarks.bars --bars 500000
	@$(PY) -m benchmarks.ticks --ticks 1000000 --instruments 9
	@$(PY) -m benchmarks.exchange
	@$(PY) -m benchmarks.live

mutants: ready-dev
	@test -f .mutants/tests.json || CI=1 $(PY) -m proof.mutants reach
	@$(PY) -m proof.mutants $(ARGS)
	@$(PY) -m proof.mutants report

coverage: ready-dev
	@CI=1 $(PY) -m proof.mutants reach $(ARGS)
	@$(PY) -m proof.mutants coverage

lock:
	@$(PYTHON) scripts/set_up.py lock

clean:
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis bench-out
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

ready:
	@$(PYTHON) scripts/set_up.py core

ready-dev:
	@$(PYTHON) scripts/set_up.py dev
