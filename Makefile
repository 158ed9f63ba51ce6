# Two commands do everything on a fresh machine that has Python 3.11+, make and a package index:
#   make demo   set up, then export, verify, search and compare with PyTorch, on a real model, offline
#   make test   set up, then all checks and all tests
# The environment is .venv; delete it to start afresh.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The virtual environment has PyTorch for processors: on a machine with a GPU pass a Python that has PyTorch for CUDA.
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

.PHONY: demo test nightly check bench bench-test gpu-check clean help
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "onnxpress needs Python 3.11 or newer; pass PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[export,bench,dev]'
	@touch $@

demo: $(STAMP) ## export a real model, verify it, search by meaning with it, compare with PyTorch
	$(BIN)/python -m onnxpress_bench.demo

check: $(STAMP) ## format, lint, types, import contracts
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

test: check ## all checks and all tests but the long ones, the fast ones first
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=15 -m "not nightly" tests/unit tests/contracts tests

nightly: check ## the long tests too, and many more examples of every property
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=30 tests

# An hour or so on two cores, on a machine that does nothing else. Peers first: .venv/bin/onnxpress peers --install all
bench: $(STAMP) ## measure every case of the suites, write benchmarks/results, regenerate the README's figures (CASE=name, SUITE=name, TUNE=1)
	$(BIN)/python -m onnxpress_bench $(if $(CASE),--case $(CASE)) $(if $(SUITE),--suite $(SUITE)) $(if $(TUNE),--tune)

bench-test: $(STAMP) ## whether the benchmark's method holds on this machine: A/A runs, a known slowdown, a known stall
	$(BIN)/python -m pytest -q -s benchmarks/tests

gpu-check: ## on a CUDA GPU: answers of every task and precision, nodes left to the processor, speed, memory (GPU_PYTHON=...)
	PYTHONPATH=runtime:exporter:benchmarks $(GPU_PYTHON) -m onnxpress_bench.gpu_check \
		--prepared .gpu-check --json benchmarks/results/gpu/check.jsonl

clean: ## remove the environment, caches and exported artifacts
	rm -rf $(VENV) .test-store .gpu-check models/artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
