# The only commands anyone needs: make demo | test | check | bench | docs | soak | fuzz
# They need Rust and a CPython from 3.11 on; everything else goes into .venv and target.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHONS := $(shell sh tools/pythons.sh)
# Version and path alternate in the list.
VERSIONS := $(filter 3.%,$(PYTHONS))
NEWEST := $(lastword $(VERSIONS))
PYTHON ?= $(word 2,$(PYTHONS))
python-for = $(shell echo '$(PYTHONS)' | tr ' ' '\n' | grep -A1 -Fx '$(1)' | tail -n 1)

VENV := .venv
BUILD := $(VENV)/build
CHECK := $(VENV)/check
DOCS := $(VENV)/docs
FUZZ := $(VENV)/fuzz
WHEELS := target/wheels
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md $(shell find src python -type f -not -name '*.pyc')

.PHONY: help demo test test-core test-workers soak soak-quick soak-tools $(VERSIONS:%=test-python-%) check bench bench-quick docs fuzz clean

help:
	@echo "make demo    install into a local environment and run the main job"
	@echo "make test    run every test; those about Python on each supported one found: $(VERSIONS)"
	@echo "make check   formatting, lints and types of both languages, stubs against the runtime"
	@echo "make bench   measure, beside others too, and write docs/benchmarks.md"
	@echo "make docs    build the site of the documentation into target/site, and check its links"
	@echo "make soak    ten minutes of bad links, dying peers, forks, signals and want, counted and judged"
	@echo "make fuzz    a minute of any bytes for the frames, on a nightly Rust where there is one"
	@echo "make clean   remove what was made"

# An environment at $(1) of the Python at $(2), with the dependency group $(3) of pyproject.toml.
define environment
	$(if $(2),,$(error no CPython from 3.11 on was found))
	"$(2)" -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(1)/bin/python -m pip install --quiet --group $(3)
endef

# The wheel, into the environment at $(1).
define install
	$(1)/bin/python -m pip install --quiet --force-reinstall --no-deps $(WHEELS)/*.whl
	touch $(1)/.ready
endef

$(BUILD)/.ready: pyproject.toml
	$(call environment,$(BUILD),$(PYTHON),build)
	touch $@

$(WHEELS)/.built: $(SOURCES) $(BUILD)/.ready
	rm -rf $(WHEELS)
	$(BUILD)/bin/maturin build --release --locked --out $(WHEELS)
	touch $@

$(VENV)/%/.ready: $(WHEELS)/.built
	$(call environment,$(VENV)/$*,$(call python-for,$*),test)
	$(call install,$(VENV)/$*)

$(VENV)/demo/.ready: $(WHEELS)/.built
	$(call environment,$(VENV)/demo,$(PYTHON),demo)
	$(call install,$(VENV)/demo)

list-peers = import tomllib; groups = tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']; \
	print(*groups['peers'], sep='\n')

# A peer that has no wheel for this machine is left out: the run says so.
$(VENV)/bench/.ready: $(WHEELS)/.built
	$(call environment,$(VENV)/bench,$(PYTHON),bench)
	$(VENV)/bench/bin/python -c "$(list-peers)" \
		| xargs -n 1 $(VENV)/bench/bin/python -m pip install --quiet --only-binary :all: || true
	$(call install,$(VENV)/bench)

$(CHECK)/.ready: $(WHEELS)/.built
	$(call environment,$(CHECK),$(PYTHON),check)
	$(call install,$(CHECK))

# The reference is read from the stubs, so nothing has to be compiled for it.
$(DOCS)/.ready: pyproject.toml
	$(call environment,$(DOCS),$(PYTHON),docs)
	touch $@

demo: $(VENV)/demo/.ready
	$(VENV)/demo/bin/python -m demo

test: test-core $(VERSIONS:%=test-python-%) test-workers

test-core:
	cargo test --quiet --locked --no-default-features

# One version is enough for what the kernel decides, or other programs.
ABOUT_SYSTEM := host* loopback* bulk_storm* layouts* wire* security* cli* examples* docs*
but = --ignore=tests/python/dask $(1:%='--ignore-glob=tests/python/test_%')
$(VERSIONS:%=test-python-%): test-python-%: $(VENV)/%/.ready
	$(VENV)/$*/bin/python -m pytest -q -n auto $(if $(filter $(NEWEST),$*),,$(call but,$(ABOUT_SYSTEM)))

# Once more with the workers having every transfer that is not done at once, and channels offering
# every byte instead of sending it; not what is about objects, addresses and options, or files, nor
# what has the workers or a channel's offers anyway.
ABOUT_ELSE := testbuffer* refusals* exporters* dlpack* layouts* addresses* options* adopt* errors* \
	listener* loopback* dtype* wire* cli* bulk* host* security* examples* docs* channel_arrays* \
	channel_exporters* channel_meta* channel_lies* channel_bombs* channel_recycling*
test-workers: export PINWIRE_BULK_THRESHOLD := 1
test-workers: export PINWIRE_OFFER_THRESHOLD := 1
test-workers: export PINWIRE_TEST_SAME_HOST := auto
test-workers: $(VENV)/$(NEWEST)/.ready
	$(VENV)/$(NEWEST)/bin/python -m pytest -q -n auto $(call but,$(ABOUT_ELSE))

$(FUZZ)/bin/cargo-fuzz:
	cargo install --quiet --locked --root $(FUZZ) cargo-fuzz

# Sanitizers need what only a nightly Rust allows, or a stable one that takes itself for one.
NIGHTLY = $(firstword $(shell rustup toolchain list 2>/dev/null | grep '^nightly'))

# What is found goes to target/fuzz, what fails to fuzz/artifacts; the seeds stay as they are.
fuzz: $(FUZZ)/bin/cargo-fuzz
	export $(if $(NIGHTLY),RUSTUP_TOOLCHAIN=$(NIGHTLY),RUSTC_BOOTSTRAP=1)
	for target in header hello; do
		mkdir -p target/fuzz/found/$$target
		$(FUZZ)/bin/cargo-fuzz run --target-dir target/fuzz $$target \
			target/fuzz/found/$$target fuzz/corpus/$$target -- -max_total_time=30
	done

# Hosts are made of network namespaces, for which it takes root; the run says what it leaves out.
soak-tools:
	if [ "$$(command -v nft tc ip nsenter | wc -l)" = 4 ]; then exit; fi
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
		apt-get update --quiet > /dev/null \
			&& apt-get install --yes --quiet nftables iproute2 util-linux > /dev/null \
			|| echo "soak: nftables and iproute2 could not be installed"
	else
		echo "soak: nftables and iproute2 are not all there, and it takes root to install them"
	fi

# SOAK is for what a run that failed says to play again: make soak SOAK="--seed 1 --only proxy".
soak: export PYTHONPATH := tests
soak: $(VENV)/$(NEWEST)/.ready soak-tools
	$(VENV)/$(NEWEST)/bin/python -m soak --seconds 600 $(SOAK)
	PINWIRE_SOAK=1 $(VENV)/$(NEWEST)/bin/python -m pytest -q tests/python/test_bulk_storm.py

soak-quick: export PYTHONPATH := tests
soak-quick: $(VENV)/$(NEWEST)/.ready soak-tools
	$(VENV)/$(NEWEST)/bin/python -m soak --seconds 60 $(SOAK)

check: $(CHECK)/.ready
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --quiet --locked --all-targets -- -D warnings
	cargo clippy --quiet --locked --all-targets --no-default-features -- -D warnings
	$(CHECK)/bin/ruff check .
	$(CHECK)/bin/ruff format --check .
	$(CHECK)/bin/mypy
	$(CHECK)/bin/pyright
	$(CHECK)/bin/python -m mypy.stubtest pinwire --allowlist tools/stubtest-allowlist.txt

bench: $(VENV)/bench/.ready
	cargo bench --locked --no-default-features
	$(VENV)/bench/bin/python -m benches.delivery.elsewhere
	$(VENV)/bench/bin/python -m benches.peers
	$(VENV)/bench/bin/python -m benches.peers.report

# Everything once and small, with a report that nobody reads: so that neither rots.
bench-quick: $(VENV)/bench/.ready
	$(VENV)/bench/bin/python -m benches.peers --quick --out benches/results/quick
	$(VENV)/bench/bin/python -m benches.peers.report benches/results/quick --root benches/results/quick

docs: $(DOCS)/.ready
	$(DOCS)/bin/mkdocs build --strict

clean:
	rm -rf $(VENV) target
