# Every chore of the project. `make run` and `make test` install what is missing into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MARKS ?= not slow and not gpu and not browser
# The rooms below those that run jobs: most of the tests, in a fraction of the time.
FAST := $(addprefix tests/,activations analysis backbones callbacks config data figures functional metrics probes records report runs)

.DEFAULT_GOAL := help
.PHONY: help install run data test quick test-slow test-browser lowest mutants notebooks docs lint types rooms pytest fast format shapesnet shapesvit bench bench-growth bench-gpu bench-protocols bench-reading clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): setup.cfg setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

install: $(STAMP) ## install the package and its tools into .venv

run: $(STAMP) ## the default job: data=shapes, model=shapesnet, about a minute
	$(BIN)/python train.py

data: $(STAMP) ## BRODEN into data/: make data NAME=broden1_224 (_227, _384) [ARGS='--mirror URL --digest HEX']
	$(BIN)/python scripts/get_broden.py $(NAME) $(ARGS)

test: lint types rooms pytest ## lint, types, import order, tests: all that CI runs

quick: $(STAMP) ## for people at work: lint, types, import order and the fast tests, one to two minutes
	$(MAKE) --jobs 2 --output-sync=target lint types rooms fast

test-slow: $(STAMP) ## the tests that take minutes, on the real images beside the project
	$(BIN)/python -m pytest -m slow

test-browser: $(STAMP) ## the pages in headless Chromium; installs playwright and, with apt-get, chromium
	$(BIN)/python -m pip install --quiet playwright
	command -v chromium || command -v chromium-browser || command -v google-chrome \
	  || { apt-get update -qq && apt-get install --yes --no-install-recommends chromium; } \
	  || { echo "No Chromium was found, and apt-get could not install it: install chromium, or run as root."; exit 1; }
	$(BIN)/python -m pytest -m browser

lowest: ## the tests with the lowest versions that setup.cfg allows, in build/lowest
	mkdir -p build
	$(PYTHON) scripts/lowest.py > build/lowest.txt
	PIP_CONSTRAINT=$(CURDIR)/build/lowest.txt $(MAKE) VENV=build/lowest pytest

mutants: $(STAMP) ## plant errors and count how many the tests catch, hours on two cores
	$(BIN)/python scripts/mutants.py --write

notebooks: $(STAMP) ## run the notebooks of examples/ anew and store what they show, a minute
	$(BIN)/python scripts/notebooks.py

docs: $(STAMP) ## the pages of docs/ as a site, with the Python reference; installs sphinx
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m sphinx -q -W docs docs/_build/html
	@echo "$(CURDIR)/docs/_build/html/index.html"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

rooms: $(STAMP)
	$(BIN)/lint-imports

pytest: $(STAMP)
	$(BIN)/python -m pytest -n auto -m "$(MARKS)"

fast: $(STAMP)
	$(BIN)/python -m pytest -n auto -q -m "$(MARKS)" $(FAST)

format: $(STAMP) ## let ruff mend and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## speed and memory against named rivals, some minutes on two cores
	$(BIN)/python -m benchmarks

bench-growth: $(STAMP) ## how the main job's time grows with images, concepts, layers and seeds
	$(BIN)/python -m benchmarks growth

bench-reading: $(STAMP) ## decoders against each other, and scans of BRODEN's size, some minutes
	$(BIN)/python -m benchmarks.reading

bench-protocols: $(STAMP) ## what each departure from the paper is worth, half an hour on two cores
	$(BIN)/python -m benchmarks.protocols

bench-gpu: $(STAMP) ## BRODEN's size on a CUDA device; says so where there is none
	$(BIN)/python -m benchmarks.gpu

shapesnet: $(STAMP) ## train the shipped convolutional network anew, some minutes
	$(BIN)/python scripts/train_shapes_network.py shapesnet

shapesvit: $(STAMP) ## train the shipped transformer anew, half an hour
	$(BIN)/python scripts/train_shapes_network.py shapesvit

clean: ## remove caches and build outputs; runs/ and .venv stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
