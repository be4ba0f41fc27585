# Everything runs in .venv, made by `make env`; delete the folder to begin anew.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := stores/demo

.PHONY: env demo test test-slow lint docs reference bench clean

env: $(VENV)/.done

$(VENV)/.done: pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c requirements/constraints.txt -e ".[dev]"
	@touch $@

# Trains 16 networks from scratch, runs every stage, and writes a page about them.
demo: env
	$(BIN)/solspace train $(DEMO).zarr --task interval_reproduction --architecture vanilla \
		--networks 16 --hidden-size 20 30 40 50 --seed 0
	$(BIN)/solspace run $(DEMO).zarr
	$(BIN)/solspace report $(DEMO).zarr $(DEMO).html
	$(BIN)/solspace info $(DEMO).zarr
	@echo
	@echo "The page is $(DEMO).html. Next, fifty networks of one size:"
	@echo "    $(BIN)/solspace train stores/mine.zarr --task interval_reproduction" \
		"--architecture vanilla --networks 50 --hidden-size 50 --seed 1"

test: env
	$(BIN)/python -m pytest -q

test-slow: env
	$(BIN)/python -m pytest -q -m slow

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The tables that are made from the code.
docs: env
	$(BIN)/python docs/make_schema.py
	$(BIN)/python docs/make_recipes.py

# Our results on the authors' networks; needs shared/reference beside the checkout.
reference: env
	$(BIN)/python docs/make_validation.py

bench: env
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/reduction.py
	$(BIN)/python benchmarks/scaling.py --networks 100 1000
	$(BIN)/python benchmarks/two_neuron.py

clean:
	rm -rf $(VENV) stores/demo.zarr stores/demo.html stores/demo_files
