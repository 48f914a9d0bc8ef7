# A fresh machine needs Python 3.11 or newer, pip and make. Then:
#   make lab     set up .venv once, open the first lesson in JupyterLab: your own copy, in my-course
#   make test    the same set-up, then every test
# Also: make course | student | build | gpu-check | format | clean
# Options: PYTHON=python3.12 chooses the interpreter; LAB_ARGS=--no-browser goes to JupyterLab;
#          EDITION=solved makes `make lab` open the course's own lessons, with solutions and results;
#          TORCH_INDEX=https://download.pytorch.org/whl/cpu names one more place where pip may find torch.

PYTHON ?= python3
EDITION ?= student
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
HALF   := $(VENV)/.installing
LOCK   := $(VENV).lock
# An environment whose python no longer runs (moved, or the system's Python was replaced) counts as not installed.
BROKEN := $(shell $(PY) -c '' 2>/dev/null || echo broken-environment)

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help lab known-edition test course student build gpu-check format clean broken-environment
help:
	@sed -n '1,7s/^# \{0,1\}//p' Makefile

# The pinned set, installed once, by one make at a time: the link $(LOCK), made in one step, leads to the number of the
# process that installs, or of one that was killed. A pip that was cut off may have left half a package behind, so the
# mark $(HALF) makes the next run begin with an empty environment; a pip that refused (no network, say) has changed
# nothing.
$(STAMP): requirements.txt pyproject.toml $(BROKEN)
	@trap 'exit 130' INT TERM; waited=; \
	until ln -s $$$$ $(LOCK) 2>/dev/null; do \
	  owner=$$(readlink $(LOCK)) || { [ -w . ] || { echo "This folder cannot be written to." >&2; exit 1; }; sleep 1; continue; }; \
	  kill -0 $$owner 2>/dev/null || { rm -f $(LOCK); continue; }; \
	  [ $$waited ] || echo "Another make (process $$owner) is installing; waiting for it." \
	    "If there is none, remove $(LOCK)." >&2; \
	  waited=yes; sleep 1; \
	done; \
	trap 'rm -f $(LOCK)' EXIT; \
	if [ $$waited ] && [ ! -e $(HALF) ] && [ $@ -nt requirements.txt ] && [ $@ -nt pyproject.toml ]; then exit 0; fi; \
	if [ -e $(HALF) ] || ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "vosnb needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing):" \
	         "install a newer one and name it, for instance: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }; \
	  echo "Making $(VENV) ..."; \
	  $(PYTHON) -m venv --clear $(VENV) || { \
	    echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu 'sudo apt-get install python3-venv' mends it." >&2; exit 1; }; \
	fi; \
	echo "Installing the pinned set (some minutes the first time, seconds after that) ..."; \
	touch $(HALF); \
	$(PY) -m pip install --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
	  -r requirements.txt -e . || { rm -f $(HALF); \
	    echo "pip could not install the pinned set: read its message above, then run make again." >&2; exit 1; }; \
	rm -f $(HALF); touch $@

# The student's own copy of the lessons, in which nothing that they did is ever overwritten; it is all that JupyterLab
# shows. JupyterLab refuses to run as root, as people do in containers, unless told that it may.
FOLDER := $(if $(filter solved,$(EDITION)),notebooks,my-course)
lab: known-edition $(STAMP)
	$(if $(filter student,$(EDITION)),$(PY) -m vosnb.cli start $(FOLDER))
	JUPYTER_CONFIG_PATH="$(CURDIR)/jupyter" $(PY) -m jupyter lab \
	  --ServerApp.root_dir="$(CURDIR)$(if $(filter student,$(EDITION)),/$(FOLDER))" \
	  $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS) $(FOLDER)/00_start_here.ipynb

known-edition:
	$(if $(filter "$(EDITION)","student" "solved"),,$(error There is no edition "$(EDITION)": leave EDITION out for your \
	  own copy of the lessons, or say EDITION=solved for the course's, with solutions))

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
