# Needs Python >= 3.11 and make, nothing else: each target first installs into .venv what it is missing.
#   make demo PYTHON=python3.12     uses that Python (only when .venv is made)
# Written for GNU make 3.81, which macOS ships.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow lab notebooks browser colab-like lint bench

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python)
ARGS ?=
WORKERS ?= 2
nbval = OMP_NUM_THREADS=1 DDPM_COURSE_FAST=1 $(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=240 \
	-n $(WORKERS) --dist loadscope --durations=5

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: $(VENV)/.base-stamp ## train on real digits from nothing, then draw the ones asked for (ARGS="--out DIR --seed N")
	@$(BIN)/ddpm-course demo $(ARGS)

# One thread a worker: many small tests gain nothing from more, and the workers would fight for the cores.
# nbval runs every cell of both editions; ARGS picks among the other tests, and leaves the notebooks out.
test: $(VENV)/.test-stamp ## all tests but the slow ones, and all notebooks (ARGS="-k name" for some tests, WORKERS=2)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not browser" $(ARGS)
ifeq ($(ARGS),)
	$(if $(wildcard notebooks/*.ipynb),$(nbval) notebooks)
endif

test-slow: $(VENV)/.test-stamp ## the tests that train for minutes
	$(BIN)/python -m pytest -m slow --timeout 3600 $(ARGS)

lab: $(VENV)/.course-stamp ## open JupyterLab
	$(BIN)/python -m jupyterlab $(wildcard notebooks) $(ARGS)

notebooks: $(if $(wildcard notebooks/src),$(VENV)/.test-stamp) ## build the notebooks from notebooks/src, and run what is stale (ARGS="NAME --run")
ifneq ($(wildcard notebooks/src),)
	$(BIN)/python tools/build_notebooks.py $(ARGS)
	$(BIN)/python -m pytest -q tests/test_notebooks.py
else
	@echo "There are no notebooks yet: notebooks/src does not exist."
endif

browser: $(VENV)/.browser-stamp ## use the notebooks in JupyterLab with a headless Chromium; pictures in build/browser
	$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

colab-like: $(VENV)/.test-stamp ## run the notebooks on what Colab has; needs a Python 3.13 (PYTHON313=/path/to/python)
	PYTHON313="$(PYTHON313)" $(BIN)/python tools/colab_like.py

lint: $(VENV)/.lint-stamp ## ruff, mypy, codespell, import-linter
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/lint-imports

bench: $(VENV)/.base-stamp ## quality against training time, the short form
	$(BIN)/python benchmarks/time_to_quality.py --short $(ARGS)

# What installs an extra installs the base, too; and all is installed again when pyproject.toml changes.
pip_install = $(BIN)/python -m pip install --disable-pip-version-check -e "$(1)" && touch $(VENV)/.base-stamp $@

$(VENV)/.base-stamp: pyproject.toml $(VENV)/.made
	@echo "Installing the course and PyTorch into $(VENV). This is done once and takes some minutes."
	@$(call pip_install,.)

$(VENV)/.test-stamp: pyproject.toml $(VENV)/.made
	@echo "Installing what the course and its tests need into $(VENV)."
	@$(call pip_install,.[course$(comma)test])

$(VENV)/.course-stamp: pyproject.toml $(VENV)/.made
	@echo "Installing what the course needs into $(VENV)."
	@$(call pip_install,.[course])

$(VENV)/.browser-stamp: pyproject.toml $(VENV)/.made
	@echo "Installing JupyterLab, the tests' packages and playwright into $(VENV)."
	@$(call pip_install,.[course$(comma)test$(comma)browser])

$(VENV)/.lint-stamp: pyproject.toml $(VENV)/.made
	@echo "Installing the checkers into $(VENV)."
	@$(call pip_install,.[lint])

comma := ,

# The first Python that is new enough and can make virtual environments. Debian leaves the second out: see `bare`.
$(VENV)/.made:
	@found=; bare=; \
	for python in $(PYTHONS); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then found=$$python; break; fi; \
		bare=$${bare:-$$python}; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
		package=$$("$$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		echo "$$bare cannot make virtual environments (ensurepip is missing): on Debian or Ubuntu run" \
			"'sudo apt install $$package', then run make again." >&2; \
		exit 1; \
	fi; \
	if [ -z "$$found" ]; then \
		echo "No Python 3.11 or newer was found (tried: $(PYTHONS)): install one from https://www.python.org/downloads" \
			"or name yours with 'make PYTHON=/path/to/python3'." >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version) ($$found)."; \
	"$$found" -m venv $(VENV) && touch $@
