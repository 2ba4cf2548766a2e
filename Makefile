# The only commands anyone needs: make demo | test | check | bench
# They need Rust and a CPython from 3.11 on; everything else goes into .venv and target.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHONS := $(shell sh tools/pythons.sh)
# Version and path alternate in the list.
VERSIONS := $(filter 3.%,$(PYTHONS))
PYTHON ?= $(word 2,$(PYTHONS))
python-for = $(shell echo '$(PYTHONS)' | tr ' ' '\n' | grep -A1 -Fx '$(1)' | tail -n 1)

VENV := .venv
DEV := $(VENV)/dev
WHEELS := target/wheels
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md $(shell find src python -type f -not -name '*.pyc')

.PHONY: help demo test test-core $(VERSIONS:%=test-python-%) check bench soak clean

help:
	@echo "make demo    install into a local environment and run the main job"
	@echo "make test    run every test, on each supported Python found: $(VERSIONS)"
	@echo "make check   formatting, lints and types of both languages, stubs against the runtime"
	@echo "make bench   measure; make soak: the slow tests; make clean: remove what was made"

$(DEV)/.ready: pyproject.toml
	$(if $(PYTHON),,$(error no CPython from 3.11 to 3.13 was found))
	"$(PYTHON)" -m venv $(DEV)
	$(DEV)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(DEV)/bin/python -m pip install --quiet --group build --group check
	touch $@

$(WHEELS)/.built: $(SOURCES) $(DEV)/.ready
	rm -rf $(WHEELS)
	$(DEV)/bin/maturin build --release --locked --out $(WHEELS)
	touch $@

# An environment per Python version, or per purpose, with the wheel in it.
define install
	$(1)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(1)/bin/python -m pip install --quiet $(2)
	$(1)/bin/python -m pip install --quiet --force-reinstall --no-deps $(WHEELS)/*.whl
endef

$(VENV)/%/.ready: $(WHEELS)/.built
	"$(call python-for,$*)" -m venv $(VENV)/$*
	$(call install,$(VENV)/$*,--group test)
	touch $@

$(VENV)/demo/.ready: $(WHEELS)/.built
	"$(PYTHON)" -m venv $(VENV)/demo
	$(call install,$(VENV)/demo,--group demo)
	touch $@

demo: $(VENV)/demo/.ready
	$(VENV)/demo/bin/python -m demo

test: test-core $(VERSIONS:%=test-python-%)

test-core:
	cargo test --quiet --locked --no-default-features

$(VERSIONS:%=test-python-%): test-python-%: $(VENV)/%/.ready
	$(VENV)/$*/bin/python -m pytest -q

check: $(DEV)/.ready $(WHEELS)/.built
	cargo fmt --check
	cargo clippy --quiet --locked --all-targets -- -D warnings
	cargo clippy --quiet --locked --all-targets --no-default-features -- -D warnings
	cargo bench --quiet --locked --no-default-features --no-run
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/python -m pip install --quiet --force-reinstall --no-deps $(WHEELS)/*.whl
	$(DEV)/bin/mypy
	$(DEV)/bin/pyright
	$(DEV)/bin/python -m mypy.stubtest pinwire --allowlist tools/stubtest-allowlist.txt

bench: $(VENV)/demo/.ready
	cargo bench --locked --no-default-features
	$(VENV)/demo/bin/python -m benches.peers.elsewhere

soak: $(VERSIONS:%=$(VENV)/%/.ready)
	$(VENV)/$(lastword $(VERSIONS))/bin/python -m pytest -q -m soak

clean:
	rm -rf $(VENV) target
