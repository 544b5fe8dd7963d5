PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.PHONY: run test quick format bench bench-docs captures gallery clean

run: .venv/installed
	@if [ -n "$(ARGS)" ]; then $(BIN)/mftui $(ARGS); \
	elif [ -t 0 ] && [ -t 1 ]; then $(BIN)/mftui; \
	else $(BIN)/mftui run quick-start; fi

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --cov --cov-report=term:skip-covered -q -n 3 --dist loadscope --no-loadscope-reorder

quick: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q -x -m "not slow" -n auto --dist loadscope --no-loadscope-reorder

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

bench: .venv/installed
	$(BIN)/mftui bench $(ARGS)

bench-docs: .venv/installed
	mkdir -p build
	$(BIN)/mftui bench --force --out build/benchmarks.json $(ARGS)
	$(BIN)/python docs/benchmarks.py build/benchmarks.json

captures: .venv/installed
	$(BIN)/python docs/captures.py

gallery: .venv/installed
	$(BIN)/python docs/gallery.py

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage
