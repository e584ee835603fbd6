# make run    install, then count people on the sample clip
# make test   install with the tools for development, then test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check wheel clean

run: $(VENV)/.installed
	$(BIN)/vidan run configs/campus.yaml

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist worksteal

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

wheel: $(VENV)/.installed-dev
	rm -rf build dist
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "vidan needs Python 3.11 or newer; name one with 'make PYTHON=python3.12 ...'"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed
