# Everything here works on a fresh clone with Python 3.10 or newer and make.
#
#   make quickstart   a Celery worker on pool://, its tasks and their results
#   make test         all tests, with the servers that they start
#   make coverage     the same tests, with the coverage of the package, which costs a third more time
#   make peers        Zaqar's and Kombu's own tests, over every store; CELERY=yes runs Celery's after them
#   make peers-celery Celery's own tests, on SQLite, Redis and RabbitMQ, in half an hour; STORE=redis asks only about that
#   make check        what CI runs: format, lint, types, layers, language, peers, tests with coverage
#   make chaos        twelve minutes of kills, cuts, full disks and orders of steps; STORE=redis asks only one store, SEED=7 repeats a run
#   make docs         the documentation as a site, in docs/_build/html; a warning is an error
#   make pictures     draw the pictures of the pages again, from their texts; needs Graphviz
#   make release-check  build the sdist and the wheel, and use each in bare environments of two Pythons
#   make servers      install those servers, where that may be done
#   make bench        the benchmarks, with peers beside us; STORE=redis or STORE=mongodb asks only about that
#   make clean        forget what was built

PYTHON ?= python3
VENV ?= .venv
# More processes than cores: most tests wait for a worker, a server or a deadline.
JOBS ?= 8
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
TESTS := $(PYTEST) -n $(JOBS) --dist loadscope
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The tests start more than a thousand processes; each would compile again what it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help quickstart test coverage peers peers-celery check format lint types layers language chaos docs pictures release-check servers bench clean

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "kombu_pool needs Python 3.10 or newer; try: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of dependencies; a change of pyproject.toml brings them up to date.
$(VENV)/.%.installed: pyproject.toml | $(BIN)/python
	@echo "Installing kombu-pool[$*] into $(VENV) ..."
	@$(PIP) install --quiet --editable '.[$*]'
	@touch $@

quickstart: $(VENV)/.celery.installed
	@$(BIN)/python examples/quickstart.py

test: $(VENV)/.dev.installed servers
	$(TESTS)

# A test that fails is run up to twice more, and named: see docs/testing.md.
coverage: $(VENV)/.dev.installed servers
	$(TESTS) --cov --ignore=tests/peers --reruns 2 --reruns-delay 5 -rfEsR

# CI: a missing server is an error, not a skip; but RabbitMQ, beside which Kombu's tests run where it is installed.
peers: $(VENV)/.peers.installed servers
	$(BIN)/python -W ignore -c 'import zaqar.tests.unit.storage.base'
	$(BIN)/python -m tests.support.peers.sources kombu
	CI=yes $(TESTS) tests/peers
	$(if $(CELERY),$(MAKE) peers-celery)

peers-celery: $(VENV)/.peers-celery.installed servers
	@.ci/servers rabbitmq-server
	@$(BIN)/python -m tests.support.peers.celery_suite $(STORE)

# The peers' tests mostly wait: they run beside ours. Each prints all that it says at its end.
check: format lint types layers language $(VENV)/.peers.installed servers
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target peers coverage

format: $(VENV)/.dev.installed
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev.installed
	$(BIN)/ruff check .

types: $(VENV)/.dev.installed
	$(BIN)/mypy

layers: $(VENV)/.dev.installed
	$(BIN)/lint-imports --no-cache

language: $(VENV)/.dev.installed
	$(BIN)/python -m tests.support.language

chaos: $(VENV)/.dev.installed servers
	@KOMBU_POOL_CHAOS=yes STORE=$(STORE) SEED=$(SEED) timeout --foreground --signal=INT 600 $(PYTEST) -q -n 2 --dist loadscope tests/chaos
	$(if $(STORE),,@KOMBU_POOL_CHAOS=yes SEED=$(SEED) $(PYTEST) -q -n 2 tests/model/test_moves.py -k deeper)

docs: $(VENV)/.docs.installed
	$(BIN)/python -m sphinx -W --keep-going -j auto -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

pictures: $(VENV)/.dev.installed
	@command -v dot >/dev/null || .ci/servers graphviz
	$(BIN)/python -m tests.support.docs.pictures

release-check: $(VENV)/.dev.installed
	@$(BIN)/python -m tests.support.release

servers:
	@.ci/servers chromium

bench: $(VENV)/.bench.installed
	@$(BIN)/python -m benchmarks $(STORE)

clean:
	rm -rf $(VENV) build dist docs/_build htmlcov .coverage .coverage.* \
	  .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
