# Everything runs in .venv, made by `make env`; delete the folder to begin anew.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := stores/demo
# Processes that run the tests side by side: make test JOBS=8
JOBS ?= 2
# Images often ask Python to keep no bytecode: each process of a test or a worker would compile the
# package again.
export PYTHONDONTWRITEBYTECODE :=
# As on an x86-64 processor without AVX-512, and as on one without AVX, AVX2 and FMA (x86-64-v2), in
# what Numba compiles and in the libraries that choose their loops at run time. An empty
# NUMBA_CPU_FEATURES is what keeps those of this machine out; what is compiled so is kept apart.
AVX2 := NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES= NUMBA_CACHE_DIR=$(CURDIR)/$(VENV)/numba-avx2 \
	NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR" OPENBLAS_CORETYPE=Haswell \
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
X86_64_V2 := NUMBA_CPU_NAME=nehalem NUMBA_CPU_FEATURES= \
	NUMBA_CACHE_DIR=$(CURDIR)/$(VENV)/numba-x86-64-v2 \
	NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR" OPENBLAS_CORETYPE=Nehalem \
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 \
	GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F
# The tests of what is computed; what lies in stores and on pages does not turn on the processor.
NUMERICAL := $(addprefix tests/test_,$(addsuffix .py,activity_features attractors axes branching canonical \
	challenging checkpoints context_integration diversity features fixed_points individuality labels \
	loss_curve networks processors reduction reduction_on_device responses several_outputs similarity \
	stability timed training two_neuron two_neuron_plane verification verify_stage))

.PHONY: env browser data notebooks demo test test-avx2 test-processors test-slow test-attack test-slurm coverage lint docs tables reference \
	paper bench clean

env: $(VENV)/.done

$(VENV)/.done: pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c requirements/constraints.txt -e ".[dev]"
	@touch $@

# What the test of `solspace explore` in a browser needs; Debian, as root.
browser:
	apt-get install -y chromium

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

# Idle processes take tests of the busy ones.
test: env
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

test-avx2: env
	$(AVX2) $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

# The numerical tests as on each of two other processors, with nothing compiled before.
test-processors: env
	rm -rf $(VENV)/numba-avx2 $(VENV)/numba-x86-64-v2
	$(AVX2) $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal $(NUMERICAL)
	$(X86_64_V2) $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal $(NUMERICAL)

# Lines the tests run, those of their processes and of what they start included. What Numba
# compiles does not count as run.
coverage: env
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -q -n $(JOBS) --dist worksteal
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered

test-slow: env
	$(BIN)/python -m pytest -q -m slow

# Kills, fills up, damages and locks twice what stores can be; about two hours on two cores. Mounts
# small disks where it may. `python -m docs.make_attacks` does the same and writes the counts into docs/reliability.md.
test-attack: env
	$(BIN)/python -m pytest -q -m slow -o faulthandler_timeout=0 tests/test_attack.py

# On a SLURM of one node that the test starts (Debian: slurmctld, slurmd, slurm-client, munge; as
# root); says why where it cannot.
test-slurm: env
	$(BIN)/python -m pytest -q -rs -m slurm tests/test_slurm.py

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, into docs/_build/html: its pages are Markdown, its reference is made from the code.
docs: env
	$(BIN)/python -m sphinx -b html -n -W --keep-going -q -d docs/_build/trees docs docs/_build/html
	@echo "The site is docs/_build/html/index.html."

# The tables and pictures that pages of docs have from code and stores; some minutes.
tables: env
	$(BIN)/python -m docs.make_schema
	$(BIN)/python -m docs.make_recipes
	$(BIN)/python -m docs.make_needs
	$(BIN)/python -m docs.make_pictures
	$(BIN)/python -m docs.make_coverage
	$(BIN)/python -m docs.make_stability
	$(BIN)/python -m docs.make_similarity
	$(BIN)/python -m docs.make_responses
	$(BIN)/python -m docs.make_design

# Our results on the authors' networks; needs shared/reference beside the checkout.
reference: env
	$(BIN)/python -m validation.reference
	$(BIN)/python -m validation.location
	$(BIN)/python -m validation.mante

# The paper's figures 2 to 5 from stores/turner2021.zarr, and docs/paper.md; a few minutes.
paper: env
	$(BIN)/python -m validation.paper

# The zips that solspace.load_dataset downloads, and their hashes in solspace/store/datasets.json.
data: env
	$(BIN)/python -m stores.make_zips dist/data

# Runs every notebook, one after another, and keeps what they show in them; a few minutes.
notebooks: env
	$(BIN)/python -m notebooks.run

bench: env
	$(BIN)/python benchmarks/processors.py
	$(BIN)/python benchmarks/reduction.py
	$(BIN)/python benchmarks/analysis.py
	$(BIN)/python benchmarks/end_to_end.py
	$(BIN)/python benchmarks/scaling.py --networks 100 1000
	$(BIN)/python benchmarks/own_stage.py
	$(BIN)/python benchmarks/own_data.py
	$(BIN)/python benchmarks/opening.py
	$(BIN)/python benchmarks/two_neuron.py
	$(BIN)/python benchmarks/diversity.py --quick
	$(BIN)/python benchmarks/stability.py
	$(BIN)/python benchmarks/similarity.py
	$(BIN)/python benchmarks/challenges.py
	$(BIN)/python benchmarks/explorer.py

clean:
	rm -rf $(VENV) docs/_build docs/_outside stores/demo.zarr stores/demo.html stores/demo_files
