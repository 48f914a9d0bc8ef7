# A fresh machine needs Python 3.11 or newer, pip and make. Then:
#   make lab     set up .venv once, open JupyterLab on the first lesson
#   make test    the same set-up, then every test
# Also: make course | student | build | gpu-check | format | clean
# Options: PYTHON=python3.12 chooses the interpreter; LAB_ARGS=--no-browser goes to JupyterLab;
#          TORCH_INDEX=https://download.pytorch.org/whl/cpu names one more place where pip may find torch.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
HALF   := $(VENV)/.installing
# An environment whose python no longer runs (moved, or the system's Python was replaced) counts as not installed.
BROKEN := $(shell $(PY) -c '' 2>/dev/null || echo broken-environment)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help lab test course student build gpu-check format clean broken-environment
help:
	@sed -n '1,6s/^# \{0,1\}//p' Makefile

# The pinned set, installed once. A pip that was cut off may have left half a package behind, so the mark $(HALF) makes
# the next run begin with an empty environment; a pip that refused (no network, say) has changed nothing.
$(STAMP): requirements.txt pyproject.toml $(BROKEN)
	@if [ -e $(HALF) ] || ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "vosnb needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing):" \
	         "install a newer one and name it, for instance: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }; \
	  echo "Making $(VENV) ..."; \
	  $(PYTHON) -m venv --clear $(VENV) || { \
	    echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu 'sudo apt-get install python3-venv' mends it." >&2; exit 1; }; \
	fi
	@echo "Installing the pinned set (some minutes the first time, seconds after that) ..."
	@trap 'exit 130' INT TERM; touch $(HALF); \
	$(PY) -m pip install --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
	  -r requirements.txt -e . || { rm -f $(HALF); \
	    echo "pip could not install the pinned set: read its message above, then run make again." >&2; exit 1; }; \
	rm -f $(HALF)
	@touch $@

# JupyterLab refuses to run as root, as people do in containers, unless told that it may.
lab: $(STAMP)
	JUPYTER_CONFIG_PATH="$(CURDIR)/jupyter" $(PY) -m jupyter lab --ServerApp.root_dir="$(CURDIR)" \
	  $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS) notebooks/00_start_here.ipynb

test: $(STAMP)
	$(PY) tests/gates.py

course build: $(STAMP)
	$(PY) -m vosnb.cli $@

student: $(STAMP)
	$(PY) -m vosnb.cli student $(or $(OUT),build/student)

gpu-check: $(STAMP)
	$(PY) -m vosnb.gpu_check

format: $(STAMP)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
