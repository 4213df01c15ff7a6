# `make demo` shows what the toolkit does on synthetic data, `make test` runs the whole suite.
# Both first make a virtual environment in .venv with pinned versions (constraints.txt).
# Another Python than python3:  make PYTHON=python3.11 test

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test coverage lint systems site serve notebooks versions

demo: .venv/ready
	$(BIN)/damrs-dgl --run runs/demo build-graphs fit evaluate stress --noise feedback --ratio 0.1
	@echo
	@echo "Next: $(BIN)/damrs-dgl recommend --top 10        what each user would be shown (runs/demo/recommendations.parquet)"
	@echo "      $(BIN)/damrs-dgl recipes cp demo my.toml   a recipe of your own; docs/data.md says how to name your data"

test: .venv/ready
	$(BIN)/python -m pytest -n 2

# The same, and which lines it does not reach; before Python 3.12 that takes some 30 % more processor time.
coverage: .venv/ready
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The documentation, in site/; it opens from disk.
site: .venv/ready
	$(BIN)/python -m mkdocs build --strict

serve: .venv/ready
	$(BIN)/python -m mkdocs serve

# Runs the notebooks of docs/ and stores their outputs.
notebooks: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python tools/run_notebooks.py

# The tests on every Python, DGL and set of versions that can be had here; says what was not run.
versions:
	$(PYTHON) tools/check_versions.py

systems: .venv/ready
	@$(BIN)/python -c "import sys; from damrs_dgl.models.specification.overview import systems_markdown as table; sys.stdout.write(table() + chr(10))"

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 12) or sys.exit("Python 3.10, 3.11 or 3.12 is needed (dgl has wheels for no other), but $(PYTHON) is %d.%d; try: make PYTHON=python3.11 $(MAKECMDGOALS)" % v)'
	@echo "Setting up .venv: this downloads torch and takes some minutes, once"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@
