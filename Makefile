# Thin on purpose: each target is a few commands that can be typed by hand.
#   make setup     virtual environment with the suite and its development tools
#   make train     the quickstart agent: trained, compared with the rules, reported (ARGS="--seed 7" and the like)
#   make test      lint, types and the fast tests
#   make test-all  the slow tests too
#   make bench     speed, beside other implementations where they are installed

PYTHON ?= python3
VENV   ?= .venv
RUN    ?= runs/jobshop_quickstart
ARGS   ?=

python := $(VENV)/bin/python
pip    := $(python) -m pip --disable-pip-version-check --no-input $(if $(CI),--quiet)
types  := build/types/makespan

.PHONY: setup train lint test test-all bench
.DEFAULT_GOAL := setup

setup: $(VENV)/.installed $(types)

# Repeated only when pyproject.toml changes: the editable install follows the sources by itself.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Makespan needs Python 3.11 or newer, %s is %d.%d; try `make PYTHON=python3.12`" % (sys.executable, v.major, v.minor))'
	@test -x $(python) || $(PYTHON) -m venv $(VENV)
	$(pip) install --editable '.[dev]'
	@touch $@

# Type checkers do not see an editable install of this layout; they see these links.
$(types):
	@mkdir -p $@
	@ln -sfn ../../../envs/_root/__init__.py $@/__init__.py
	@ln -sfn ../../../envs/_root/py.typed $@/py.typed
	@for folder in envs agents configs; do ln -sfn ../../../$$folder $@/$$folder; done

train: setup
	$(python) train.py --config jobshop_quickstart --run $(RUN) --resume $(ARGS)
	@find $(RUN)/report -name report.md | sort | sed 's/^/report: /'

lint: setup
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

test: lint
	$(python) -m pytest -n 2 $(ARGS)

test-all: lint
	$(python) -m pytest -n 2 -m 'slow or not slow' $(ARGS)

bench: setup
	$(python) -m makespan.agents.cli bench jobshop $(ARGS)
