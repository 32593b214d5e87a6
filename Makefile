# What a newcomer, a developer and the CI type. Works with GNU make 3.81 (macOS) and later and any POSIX shell.

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
# The next major version of transformers and what it wants newer than the lock has it, laid over .venv for its tests.
NEXT := .transformers-next
NEXT_LOCK := requirements-transformers.lock
WORKERS ?= 2
# PYTHON=… names the interpreter to build .venv with; without it the first suitable one of these is taken.
PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python3.14)
# Stamps carry their key in their name: a moved checkout or a changed lock has no stamp yet, whatever the files' times.
BOOTSTRAPPED := $(VENV)/.bootstrapped-$(shell pwd | cksum | cut -d' ' -f1)
INSTALLED := $(VENV)/.installed-$(shell cat $(LOCK) pyproject.toml | cksum | cut -d' ' -f1)
NEXT_INSTALLED := $(NEXT)/.installed-$(shell cat $(NEXT_LOCK) | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help setup setup-browser setup-emulation quickstart reproduce test test-slow test-transformers lint format lock docs benchmarks wheel clean setup-android apk test-android

help: ## Show this list (the default)
	@echo "make TARGET, with one of:"
	@sed -n 's/^\([a-z-]*\):.*## /  \1 /p' Makefile | awk '{name = $$1; sub(/^ *[^ ]+ /, ""); printf "  %-18s %s\n", name, $$0}'

setup: $(INSTALLED) ## Build .venv with every locked package and tlm-edge itself (does nothing when it is up to date)
	@echo "setup: .venv is what $(LOCK) says; the command is $(BIN)/tlm-edge"

quickstart: setup ## Compare a deep model with a committee of shallow ones on this machine, with the shipped models
	$(BIN)/tlm-edge quickstart $(ARGS)

reproduce: setup ## Carry out the paper's experiments at their smallest scale (ARGS="laptop --data DATA" for a larger one)
	$(BIN)/tlm-edge reproduce $(ARGS)

test: setup ## Run the tests but for the slow ones
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(ARGS)

test-slow: setup ## Run all tests, the slow ones too
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-transformers: $(NEXT_INSTALLED) ## Run what depends on transformers with its next major version, laid over .venv
	PYTHONPATH=$(CURDIR)/$(NEXT) $(BIN)/python -c 'import transformers as t; print("transformers", t.__version__); assert t.__version__ > "5"'
	PYTHONPATH=$(CURDIR)/$(NEXT) $(BIN)/python -m pytest -n $(WORKERS) tests/export/test_hugging_face.py tests/modeling/test_checkpoint.py $(ARGS)

lint: setup ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## Repair what lint finds and can be repaired by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(BOOTSTRAPPED) ## Renew the locks from pyproject.toml (ARGS=--upgrade takes the newest versions)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(ARGS) --output-file $(LOCK) pyproject.toml
	awk '/^[a-z]/ {kept = /^(ai-edge-litert|executorch|numpy|onnxruntime|tokenizers)==/} kept' $(LOCK) > tlm_edge/bench/runner.lock
	printf '%s\n' 'transformers>=5,<6' huggingface-hub tokenizers httpx2 httpcore2 truststore | \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-deps --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links $(ARGS) --output-file $(NEXT_LOCK) -

docs: setup ## Renew the generated pages of docs/: from the commands' own help and the records in benchmarks/results
	$(BIN)/python docs/write_accuracy.py
	$(BIN)/python docs/write_cli.py
	$(BIN)/python docs/write_distillation.py
	$(BIN)/python docs/write_emulation.py
	$(BIN)/python docs/write_few_labels.py
	$(BIN)/python docs/write_goals.py
	$(BIN)/python docs/write_performance.py
	$(BIN)/python docs/write_rivals.py
	$(BIN)/python docs/write_science.py
	$(BIN)/python docs/write_targets.py

benchmarks: setup ## Measure everything in benchmarks/ again, or go on with it (hours; needs the data sets of benchmarks/README.md)
	$(BIN)/python benchmarks/run_all.py $(ARGS)

wheel: setup ## Build the wheel, that of the models' weights and the source archive into dist/
	$(BIN)/uv build --quiet --python $(BIN)/python --no-build-isolation --out-dir dist
	$(BIN)/uv build --quiet --python $(BIN)/python --no-build-isolation --out-dir dist --wheel models
	@ls -l dist

clean: ## Remove .venv, build results and caches
	rm -rf $(VENV) $(NEXT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup-browser: ## Install Chromium for the report's browser tests (Debian, as root; elsewhere it says what to install)
	@if command -v chromedriver >/dev/null && { command -v chromium || command -v google-chrome; } >/dev/null; then \
	  echo "setup-browser: a browser and chromedriver are here already"; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "setup-browser: installing Debian's chromium and chromium-driver"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null; \
	else \
	  echo "setup-browser: nothing installed: install Chromium and chromedriver with your system's packages; without them the browser tests skip"; \
	fi

setup-emulation: ## Install what emulates ARM devices and plays them in tests: qemu, LLVM, a cross compiler, sshd, adb (Debian, as root; 900 MB)
	@missing=$$(for pair in qemu-aarch64:qemu-user qemu-aarch64-static:qemu-user-static llvm-mca-19:llvm-19 cc:gcc \
	  aarch64-linux-gnu-g++:g++-aarch64-linux-gnu /usr/sbin/sshd:openssh-server ssh:openssh-client adb:adb; do \
	  command -v "$${pair%%:*}" >/dev/null || printf '%s ' "$${pair##*:}"; done); \
	if [ -z "$$missing" ]; then \
	  echo "setup-emulation: the programs are here already"; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "setup-emulation: installing Debian's $$missing"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "setup-emulation: nothing installed: install these with your system's packages (Debian: apt-get install $$missing); without them nothing is emulated, and its tests skip"; \
	fi

setup-android: setup ## Install what builds the Android app: a JDK and Debian's APK tools (Debian, as root), compilers and libraries (700 MB)
	@missing=$$(for pair in javac:openjdk-17-jdk-headless mvn:maven npm:npm aapt2:aapt zipalign:zipalign apksigner:apksigner dexdump:dexdump; do \
	  command -v "$${pair%%:*}" >/dev/null || printf '%s ' "$${pair##*:}"; done); \
	if [ -z "$$missing" ]; then \
	  echo "setup-android: the programs are here already"; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "setup-android: installing Debian's $$missing"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "setup-android: install these yourself (Debian: apt-get install $$missing); without them the app's tests skip"; exit 1; \
	fi
	@$(BIN)/tlm-edge android setup

apk: setup ## Build the Android app without Gradle, signed with a debug key of this machine (after setup-android)
	$(BIN)/tlm-edge android build $(ARGS)

test-android: setup ## Run all tests of the Android app, the slow ones too
	$(BIN)/python -m pytest tests/android $(ARGS)

$(BOOTSTRAPPED):
	@set -e; python=; way=; \
	for candidate in $(PYTHONS); do \
	  "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || continue; \
	  python=$$candidate; \
	  if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then way=ensurepip; break; fi; \
	  if "$$candidate" -c 'import pip, venv' 2>/dev/null; then way=pip; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "error: none of $(PYTHONS) is Python 3.11 to 3.14: install one, or name it: make $(firstword $(MAKECMDGOALS) setup) PYTHON=/path/to/python3.12" >&2; exit 1; \
	elif [ -z "$$way" ]; then \
	  echo "error: $$python can't make virtual environments: install its venv module (Debian, Ubuntu: apt-get install python3-venv), then repeat" >&2; exit 1; \
	fi; \
	echo "setup: making .venv with $$("$$python" -c 'import platform, sys; print(f"Python {platform.python_version()} ({sys.executable})")')"; \
	rm -rf $(VENV); \
	sed -n '/^uv==/,/[^\\]$$/p' $(LOCK) > .uv-requirement; \
	if [ $$way = ensurepip ]; then \
	  "$$python" -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .uv-requirement; \
	else \
	  "$$python" -m venv --without-pip $(VENV); \
	  "$$python" -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --require-hashes -r .uv-requirement; \
	fi; \
	rm -f .uv-requirement; \
	touch $@

$(NEXT_INSTALLED): $(INSTALLED)
	@rm -rf $(NEXT)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(NEXT) --no-deps --require-hashes -r $(NEXT_LOCK)
	@touch $@

$(INSTALLED): $(BOOTSTRAPPED)
	@echo "setup: installing the packages of $(LOCK) (minutes and gigabytes the first time: PyTorch for Linux brings CUDA along)"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --build-constraints $(LOCK) $(LOCK)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-*
	@touch $@
