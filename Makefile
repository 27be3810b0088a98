# Every target makes the environment it needs; nothing is installed by hand.
#
#   PYTHON  the interpreter to build the environment with   VENV    where it is (.venv)
#   DJANGO  a release, such as "Django==5.2.*"               ARGS    arguments passed on

VENV ?= .venv
# Once there is an environment its Python is kept, unless another one is asked for.
PYTHON ?= $(firstword $(wildcard $(VENV)/bin/python) python3)
DJANGO ?= Django
ARGS ?=
export VENV DJANGO

BIN = $(VENV)/bin
INSTALL = $(PYTHON) scripts/environment.py

.DEFAULT_GOAL := help
.PHONY: help demo test browser lint types format messages bench chaos mutants wheel clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: ## start the demo shop with a worker on SQLite; Ctrl-C stops it
	@$(PYTHON) scripts/demo.py $(ARGS)

test: ## run the tests on every database that answers (ARGS="-k cron -x")
	@$(PYTHON) scripts/test.py $(ARGS)

browser: ## visit the admin with Chromium, and keep pictures in .browser (ARGS="-k axe")
	@$(PYTHON) scripts/browser.py $(ARGS)

lint: ## check style, types (see types), migrations and translations
	@$(INSTALL) dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/typing_samples.py
	$(BIN)/python scripts/messages.py --check
	TOOSIMPLEQ_TEST_DATABASE_NAME=:memory: DJANGO_SETTINGS_MODULE=tests.settings \
	    $(BIN)/python -W error -m django makemigrations --check --dry-run

types: ## check with mypy and pyright what they accept and refuse of users' code
	@$(INSTALL) dev
	$(BIN)/python scripts/typing_samples.py

format: ## bring the code into the house format
	@$(INSTALL) dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

messages: ## take over new texts into the catalogues of translations, and compile these
	@$(INSTALL) dev
	$(BIN)/python scripts/messages.py

bench: ## measure against other queues
	$(PYTHON) benchmarks/run.py $(ARGS)

wheel: ## build the wheel and look into it
	@$(INSTALL) dev
	$(BIN)/python scripts/wheel.py

chaos: ## strike workers at random and account for every call (ARGS="--help")
	@$(INSTALL) dev postgresql
	$(BIN)/python benchmarks/chaos/run.py $(ARGS)

mutants: ## change the code in small ways and see whether a test notices (ARGS="--sample 200")
	@$(PYTHON) scripts/mutants.py $(ARGS)

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) $(VENV).lock .venvs benchmarks/.venvs .browser .mutants build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
