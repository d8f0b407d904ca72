# Each target does its own set-up from a fresh clone: needs make, Python >= 3.11 with venv and pip.
PYTHON ?= python3
BIN := .venv/bin
DEMO := $(BIN)/snakemake --configfile config/demo.yaml --cores 2 --quiet rules

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# pip compiles thousands of modules that nothing imports; those that are get compiled on import.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo report test test-all test-loss test-slurm trials bench bench-gpu bench-chain docs lint format mutants

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

.venv/dev: .venv/installed
	$(PIP) -e '.[dev,docs]'
	touch $@

demo: .venv/installed
	@echo '$(DEMO)'
	@$(DEMO)
	@cat results/demo/tables/main.md

# All results of the demo in one file, to open from disk.
report: .venv/installed
	@$(DEMO)
	$(BIN)/snakemake --configfile config/demo.yaml --quiet all --report results/demo/report.html
	@echo "results/demo/report.html; with figures and links: results/demo/report/index.html"

# In two processes, a file at a time (its tests may share a run; tests/conftest.py), the long ones of
# integration first.
TEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: .venv/dev
	$(TEST) -m "not slow and not slurm and not tofu and not trial"

test-all: .venv/dev
	$(TEST)

# The registry-wide tests on a file of your own: make test-loss FILE=my_objectives/floored_ga.py
KIND ?= objective
test-loss: .venv/dev
	$(BIN)/python -m pytest -q --loss=$(KIND)=$(FILE) -k $(basename $(notdir $(FILE))) \
	  tests/unit/losses/test_losses.py tests/unit/effects/test_gradients.py

test-slurm: .venv/dev
	$(BIN)/python -m pytest -m "slurm and not trial"

trials: .venv/dev
	$(BIN)/python -m pytest -m trial -s

bench: .venv/installed
	$(BIN)/python bench/engine.py
	$(BIN)/python bench/evaluation.py

# One model of full size on one GPU: make bench-gpu MODEL=llama-2-7b
MODEL ?= phi-1_5
bench-gpu: .venv/installed
	$(BIN)/python bench/full_size.py --model $(MODEL)

# From random weights at Phi-1.5's size: learn the real TOFU, then forget05 by the paper's objectives.
# With TINY=1 a tiny model on the CPU.
CHAIN := config/full_size.yaml $(if $(TINY),config/full_size_tiny.yaml)
bench-chain: .venv/installed
	$(BIN)/snakemake --configfile $(CHAIN) --cores 1 --quiet rules -- cells \
	  results/full_size$(if $(TINY),_tiny)/tables/main.md
	@cat results/full_size$(if $(TINY),_tiny)/tables/main.md

docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# By hand: wrong lines, one at a time, and whether a test notices (tests/mutation.py --help).
mutants: .venv/dev
	$(BIN)/python tests/mutation.py

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile workflow/rules
	$(BIN)/mypy
	$(BIN)/snakemake --lint

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/Snakefile workflow/rules
