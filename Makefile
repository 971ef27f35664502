# Thin: every target is a command you can type yourself with the environment active.
# `make` sets up the environment and runs the study; `make help` lists the rest.

PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 4)
PORT ?= 5000
BIN := .venv/bin
RUN := $(BIN)/bnstudy run --cores $(CORES)
# what the rules mark for it, on one page; of a finished study only
REPORT := --report results/report.html
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: study extended environment test test-slow test-extended test-ui test-server test-slurm mutate lint \
  format quick figures paper report reanalyse verify publish readme progress track watch bench bench-gpu bench-scale ui \
  audit lock schema clean help

study: environment  ## environment, then the whole study and its report (the default)
	@$(RUN) $(REPORT) --report-after-run

extended: environment  ## the default study, then the same with all experiments: wider, longer, other settings
	@$(RUN) all extended $(REPORT) --report-after-run

environment: .venv/.complete  ## create .venv from the exact pins

.venv/.complete: requirements.lock requirements-torch.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "bnstudy needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet -r requirements-torch.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@echo 'export MLFLOW_DISABLE_TELEMETRY="$${MLFLOW_DISABLE_TELEMETRY:-true}"' >> $(BIN)/activate
	@touch $@

test: environment  ## environment, then all tests but the slow ones
	$(BIN)/python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder --durations=40 \
	  -m "not slow and not extended and not ui and not services"

test-slow: environment  ## the simulations of the statistics, and studies that take long (some twenty minutes)
	$(BIN)/python -m pytest -m slow

test-ui: environment  ## what a browser shows (needs chromium; minutes)
	$(BIN)/python -m pytest -m ui

test-server: environment  ## tracking to a real MLflow server on PostgreSQL that goes away
	$(BIN)/python -m pytest tests/server

test-slurm: environment  ## the study on a real Slurm of two nodes (as root: a container, say)
	$(BIN)/python -m pytest tests/slurm

test-extended: environment  ## crashes, bad disks, bad input in the long form (an hour on 2 cores)
	$(BIN)/python -m pytest -m extended -n $(CORES) --dist worksteal

mutate: environment  ## whether the unit tests notice small changes of the code, a sample (ten minutes)
	$(BIN)/pip freeze --exclude-editable > .venv/constraints.txt
	$(BIN)/python -m pip install --quiet -c .venv/constraints.txt --no-build-isolation -e '.[mutate]'
	$(BIN)/python -m tests.mutate

audit:  ## known vulnerabilities in the pinned packages (asks a public service)
	$(PYTHON) -m venv .audit
	.audit/bin/pip install --quiet pip-audit
	.audit/bin/pip-audit --strict --requirement requirements.lock --disable-pip
	.audit/bin/pip-audit --strict --requirement requirements-torch.lock --disable-pip --no-deps

lint: environment  ## style and workflow checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile reanalysis.smk workflow
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --lint --snakefile reanalysis.smk
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: environment  ## bring the code into style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile reanalysis.smk workflow

quick: environment  ## a preview in about a minute, in quick/ (fewer widths, seeds, epochs)
	@$(RUN) --configfile workflow/quick.yaml --directory quick $(REPORT) --report-after-run

figures: environment  ## redraw the figures from the tables
	@$(RUN) --forcerun figure --until figure

paper: environment  ## set the paper from the tables and figures: results/paper.pdf
	@$(RUN) results/paper.pdf

report: environment  ## put claims, figures, paper and run times on one page: results/report.html
	$(BIN)/snakemake $(REPORT)

reanalyse: environment  ## figures, claims, paper from the published tables alone, in reanalysis/ (little more than a minute)
	@$(RUN) --snakefile reanalysis.smk --directory reanalysis

verify:  ## compare results/ with the published tables, number by number
	@$(BIN)/bnstudy verify

publish:  ## make published/ from results/, and the README's findings from that
	$(BIN)/bnstudy publish
	$(BIN)/bnstudy readme

readme:  ## write what is generated of README, docs, CITATION.cff and datapackage.json from what is committed
	$(BIN)/bnstudy readme
	$(BIN)/python -m benchmarks.million

progress:  ## how much of the training is done, and how long it still takes
	@$(BIN)/bnstudy progress

track: environment  ## bring MLflow up to date with the results, also after mlflow.db was deleted
	@$(RUN) track --forcerun track_runs

watch:  ## beside a running `make`: runs appear in MLflow while the study trains
	@$(BIN)/bnstudy watch

bench: environment  ## speed against the alternatives (about 12 minutes)
	$(BIN)/pip freeze --exclude-editable > .venv/constraints.txt
	$(BIN)/python -m pip install --quiet -c .venv/constraints.txt --no-build-isolation -e '.[bench]'
	$(BIN)/python -m benchmarks

bench-gpu: environment  ## speed of a GPU against one core (two minutes; needs the extra gpu, see docs/gpu.md)
	$(BIN)/python -m benchmarks.gpu

bench-scale: environment  ## planning of 200,000 runs, tracking of 10,000 (half an hour)
	$(BIN)/python -m benchmarks.scale

ui: environment  ## browse the runs: starts MLflow on loopback and prints what to open
	@$(BIN)/bnstudy ui --port $(PORT)

lock:  ## write requirements.lock from pyproject.toml's ranges, for every platform; pins stay if they can
	$(PYTHON) -m venv .lock
	.lock/bin/pip install --quiet uv
	.lock/bin/uv pip compile --quiet pyproject.toml --output-file requirements.lock

schema: environment  ## write the JSON schema of config.yaml
	$(BIN)/bnstudy schema > workflow/schemas/config.schema.yaml

clean:  ## delete results, logs and the MLflow database (asks Snakemake for nothing)
	find results -mindepth 1 ! -name README.md -delete
	rm -rf logs mlflow.db* mlruns quick reanalysis .snakemake

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14
