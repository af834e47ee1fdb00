# make demo    one shopper's session against a real server, printed
# make serve   the same shop, kept open for a browser
# make test    lint, types, layers and the whole suite
# make matrix  the faces on another Python and Django
# make bench   throughput, as ratios measured in one run
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo serve test suite matrix bench lint format clean

# The environment is built again when what it depends on changes.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[flask,django,fastapi]" \
		--group demo
	touch $@

$(VENV)/ready-test: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group test --group lint
	touch $@

demo: $(VENV)/ready
	$(BIN)/python examples/flask_shop/demo.py

serve: $(VENV)/ready
	$(BIN)/flask --app examples/flask_shop/app run --port 5000

lint: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Three tests at a time: many of them wait for a server or a disk.
WORKERS ?= 3
PYTEST = python -m pytest --numprocesses $(WORKERS) --dist worksteal

test: lint suite

suite: $(VENV)/ready-test
	$(BIN)/$(PYTEST)

# The faces once more on another Python or Django: make matrix PYTHON=python3.13 DJANGO=6.0
DJANGO ?= 4.2
GROUP ?= test
FACES ?= django_wsgi or django_asgi
TESTS ?= tests/hosts_only tests/unit
MATRIX := .venv-matrix/$(notdir $(PYTHON))-$(DJANGO)
matrix:
	rm -rf $(MATRIX)
	$(PYTHON) -m venv $(MATRIX)
	$(MATRIX)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(MATRIX)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--editable ".[flask,django,fastapi]" "django~=$(DJANGO).0" --group $(GROUP)
	$(MATRIX)/bin/$(PYTEST) -q $(TESTS)
	$(MATRIX)/bin/$(PYTEST) -q tests/contract -k "$(FACES)"

bench: $(VENV)/ready-test
	$(BIN)/python -m tests.bench

format: $(VENV)/ready-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .venv-matrix .mypy_cache .pytest_cache .ruff_cache .hypothesis
