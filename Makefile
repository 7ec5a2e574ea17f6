# Two commands are enough on a fresh machine: `make start` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
STAMP := $(VENV)/.installed
HEROKU := tests/heroku/node_modules/.bin/heroku
export PATH := $(BIN):$(PATH)

.PHONY: start test parts check lint types bench bench-check simulate chaos clean

start: $(STAMP)  ## Set everything up and run the sample app under procman
	@$(BIN)/procman start || test $$? -eq 130  # Ctrl-C is how it ends

test: $(STAMP) parts  ## Set everything up and pass the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

parts: $(HEROKU)  # What the tests run beside Python. From Debian if missing; the pinned heroku client from npm
	@missing=; for part in node:nodejs npm:npm runsvdir:runit zsh:zsh fish:fish busybox:busybox mandoc:mandoc man:man-db haproxy:haproxy openssl:openssl curl:curl systemd-analyze:systemd; do \
	  command -v $${part%:*} >/dev/null || missing="$$missing $${part#*:}"; \
	done; \
	test -z "$$missing" || { apt-get update -qq && apt-get install --yes -qq $$missing; }

$(HEROKU): tests/heroku/package-lock.json
	@command -v npm >/dev/null || { apt-get update -qq && apt-get install --yes -qq nodejs npm; }
	npm ci --silent --no-audit --no-fund --prefix tests/heroku
	@touch $@

chaos: $(STAMP)  ## Kill dynos, supervisors and clients at random for two minutes, and look what is left
	PROCMAN_CHAOS_S=120 $(BIN)/python -m pytest -p no:xdist -s tests/test_chaos.py

check: lint types test  ## What CI runs

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)  ## Install the peers into .bench/, measure beside them, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks

bench-check: $(STAMP)  ## Measure again: fail if a row's ratios fell by more than a quarter; SHORT=1: a blunder, in seconds
	$(BIN)/python -m benchmarks --check $(if $(SHORT),--short --peers honcho --bin $(BIN))

SCHEDULES ?= 100000
simulate: $(STAMP)  ## Play the supervisor through random schedules of faults on a fake kernel
	$(BIN)/python -m tests.simulator --schedules $(SCHEDULES)

$(STAMP): pyproject.toml sample_app/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]' -r sample_app/requirements.txt
	@touch $@

clean:
	rm -rf $(VENV) .bench build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
