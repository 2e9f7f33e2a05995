# Everything a fresh machine with Python 3.11 needs. CPU torch comes from constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := diekae_rag integrations tests notebooks

.PHONY: demo test check lint types notebooks clean

demo: $(VENV)/.demo  ## set up and run the main job
	$(BIN)/diekae demo

test: $(VENV)/.dev  ## set up and pass the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: lint types test  ## what CI runs, and more

lint: $(VENV)/.dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

types: $(VENV)/.dev
	$(BIN)/mypy

notebooks: $(VENV)/.dev  ## run them again and keep what they print
	$(BIN)/python notebooks/refresh.py

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

# torch first and alone: asked for by another package, a build with gigabytes of CUDA would come.
$(VENV)/.demo: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
