# Everything starts here: each job first makes the checkout ready (see scripts/setup.sh).

.PHONY: help setup demo test test-slow lint lock clean

help:
	@echo 'make setup      create .venv from requirements.lock and check that frames can be drawn'
	@echo 'make demo       set up, then run the demonstration: outputs/demo/report.html'
	@echo 'make test       set up, then run every check and test, on Python 3.12 and 3.13'
	@echo 'make test-slow  set up, then run the slow tests'
	@echo 'make lint       set up, then check style, types and import directions in .venv'
	@echo 'make lock       set up, then bring requirements.lock in line with pyproject.toml'
	@echo 'make clean      remove what these commands created, but not outputs/'

setup:
	@sh scripts/setup.sh

demo: setup
	@.venv/bin/autoarm demo

test: setup
	@sh scripts/browser.sh
	@.venv/bin/tox run
	@sh scripts/browser.sh --check

test-slow: setup
	@.venv/bin/tox run -e slow

lint: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

# One lock for all platforms and Python versions; pins that still fit stay as they are.
lock: setup
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.12 --all-extras --generate-hashes \
		--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
		--output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv .bootstrap .tox .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist *.egg-info
