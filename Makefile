# The only commands anyone needs: make demo | test | check | wheel | bench | docs | soak | fuzz | sanitize
# They need Rust and a CPython from 3.11 on; everything else goes into .venv and target.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHONS := $(shell sh tools/pythons.sh)
# Version and path alternate in the list.
VERSIONS := $(filter 3.%,$(PYTHONS))
OLDEST := $(firstword $(VERSIONS))
NEWEST := $(lastword $(VERSIONS))
PYTHON ?= $(word 2,$(PYTHONS))
python-for = $(shell echo '$(PYTHONS)' | tr ' ' '\n' | grep -A1 -Fx '$(1)' | tail -n 1)

VENV := .venv
BUILD := $(VENV)/build
CHECK := $(VENV)/check
DOCS := $(VENV)/docs
FUZZ := $(VENV)/fuzz
DENY := $(VENV)/deny
WHEELS := target/wheels
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md $(shell find src python -type f -not -name '*.pyc')

.PHONY: help demo test test-core test-workers soak soak-quick soak-tools $(VERSIONS:%=test-python-%) check deny audit wheel bench bench-quick docs fuzz fuzz-quick sanitize sanitize-quick clean

help:
	@echo "make demo    install into a local environment and run the main job"
	@echo "make test    run every test; those about Python on each supported one found: $(VERSIONS)"
	@echo "make check   formatting, lints and types of both languages, stubs against the runtime"
	@echo "make audit   defects that are known of what is used (fetches a database from GitHub)"
	@echo "make wheel   build the wheel and the sdist, look into them, use them in clean environments"
	@echo "make bench   measure, beside others too, and write docs/benchmarks.md"
	@echo "make docs    build the site of the documentation into target/site, and check its links"
	@echo "make soak    ten minutes of bad links, dying peers, forks, signals and want, counted and judged"
	@echo "make fuzz    half a minute of any bytes for each parser, on a nightly Rust where there is one"
	@echo "make fuzz-quick      the five seconds for each that CI runs"
	@echo "make sanitize        the tests under AddressSanitizer, and a part of them under valgrind"
	@echo "make sanitize-quick  those that CI runs of them"
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

# Panics tell where their code was compiled: not where on this machine that was.
CARGO_DIR := $(or $(CARGO_HOME),$(HOME)/.cargo)
REMAP = --remap-path-prefix=$(CURDIR)=pinwire --remap-path-prefix=$(CARGO_DIR)=cargo \
	--remap-path-prefix=$$(rustc --print sysroot)=rust

$(WHEELS)/.built: $(SOURCES) $(BUILD)/.ready
	rm -rf $(WHEELS)
	RUSTFLAGS="$${RUSTFLAGS:-} $(REMAP)" \
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

# One version is enough for what the kernel decides, or other programs, or the core alone; the suite
# for streams runs on each as part of `make wheel`.
ABOUT_SYSTEM := dtype_numpy* host* loopback* bulk_storm* bulk_limits* layouts* wire* security* cli* examples* docs* \
	channel_bombs* channel_lies* channel_recycling* channel_sequences* every_way* threads_stress* testing* soak*
but = --ignore=tests/python/dask $(1:%='--ignore-glob=tests/python/test_%')
# What is about objects and arguments differs at the ends of their row, if at all.
ABOUT_OBJECTS := addresses* adopt* channel_arrays* channel_exporters* channel_into* channel_meta* dlpack* \
	exporters* lifetime* options* peer* refusals* send_file* testbuffer*
not-on = $(if $(filter $(NEWEST),$(1)),,$(ABOUT_SYSTEM) $(if $(filter $(OLDEST),$(1)),,$(ABOUT_OBJECTS)))
$(VERSIONS:%=test-python-%): test-python-%: $(VENV)/%/.ready
	$(VENV)/$*/bin/python -m pytest -q -n auto $(if $(call not-on,$*),$(call but,$(call not-on,$*)))

# Once more with the workers having every transfer that is not done at once, and channels offering
# every byte instead of sending it; not what is about objects, addresses and options, or files, nor
# what has the workers or a channel's offers anyway.
ABOUT_ELSE := testbuffer* refusals* exporters* dlpack* layouts* addresses* options* adopt* errors* \
	listener* loopback* dtype* wire* cli* bulk* host* security* examples* docs* channel_arrays* \
	channel_exporters* channel_meta* channel_lies* channel_bombs* channel_recycling* soak* \
	channel_sequences* every_way* sub_interpreters* testing_broken* threads_page*
test-workers: export PINWIRE_BULK_THRESHOLD := 1
test-workers: export PINWIRE_OFFER_THRESHOLD := 1
test-workers: export PINWIRE_TEST_SAME_HOST := auto
test-workers: $(VENV)/$(NEWEST)/.ready
	$(VENV)/$(NEWEST)/bin/python -m pytest -q -n auto $(call but,$(ABOUT_ELSE))

$(FUZZ)/bin/cargo-fuzz:
	cargo install --quiet --locked --root $(FUZZ) cargo-fuzz

# Without optimizing: that takes longer than it saves.
$(DENY)/bin/cargo-deny:
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root $(DENY) cargo-deny@0.20.2

# What only one of the two has to be excused is not excused in vain.
ASK := $(DENY)/bin/cargo-deny --locked --config deny.toml
EXCUSES := $(patsubst %,--allow %,unmatched-skip license-not-encountered license-exception-not-encountered)
deny: $(DENY)/bin/cargo-deny
	$(ASK) check $(EXCUSES) bans licenses sources
	$(ASK) --manifest-path fuzz/Cargo.toml check $(EXCUSES) bans licenses sources

audit: $(DENY)/bin/cargo-deny
	$(ASK) check advisories
	$(ASK) --manifest-path fuzz/Cargo.toml check advisories

# Sanitizers need what only a nightly Rust allows, or a stable one that takes itself for one.
NIGHTLY = $(firstword $(shell rustup toolchain list 2>/dev/null | grep '^nightly'))
UNSTABLE = $(if $(NIGHTLY),RUSTUP_TOOLCHAIN=$(NIGHTLY),RUSTC_BOOTSTRAP=1)

# What is found goes to target/fuzz, what fails to fuzz/artifacts; the seeds stay as they are.
FUZZ_TARGETS := header hello dtype meta link
define fuzzed
	export $(UNSTABLE)
	for target in $(FUZZ_TARGETS); do
		mkdir -p target/fuzz/found/$$target
		$(FUZZ)/bin/cargo-fuzz run --target-dir target/fuzz $$target \
			target/fuzz/found/$$target fuzz/corpus/$$target -- -max_total_time=$(1)
	done
endef

fuzz: $(FUZZ)/bin/cargo-fuzz
	$(call fuzzed,30)

fuzz-quick: $(FUZZ)/bin/cargo-fuzz
	$(call fuzzed,5)

$(VENV)/wheel/.ready: pyproject.toml
	$(call environment,$(VENV)/wheel,$(PYTHON),wheel)
	touch $@

# The sdist is built apart: maturin leaves a wheel of its own behind, which nobody is to install.
wheel: $(WHEELS)/.built $(VENV)/wheel/.ready
	rm -f $(WHEELS)/*.tar.gz
	$(BUILD)/bin/maturin sdist --out $(WHEELS)
	$(VENV)/wheel/bin/python tests/wheel/contents.py $(WHEELS)
	CARGO_TARGET_DIR="$(CURDIR)/target/sdist" \
		$(VENV)/wheel/bin/python tests/wheel/installs.py $(WHEELS) $(PYTHONS)

# What is looked at by which, and why: docs/decisions/2026-11-21-sanitizers.md
SANITIZE := target/sanitize
# Build scripts run elsewhere.
SANITIZED := $(CURDIR)/$(VENV)/$(NEWEST)/bin/python
ABOUT_NO_MEMORY := layers* docs* examples* import* security* loopback* cli* soak* threads_page*
UNDER_MEMCHECK := pins cancel channel_into exporters
# One loop and one transport: memcheck takes some fifty times as long.
MEMCHECK_ONLY := asyncio and (socketpair or channel_into)
IN_CI := pins cancel bulk_cancel channel_into host_withdraw

$(SANITIZE)/.ready: $(SOURCES) $(shell find tools/sanitize -type f -not -name "*.pyc") $(VENV)/$(NEWEST)/.ready
	export $(UNSTABLE)
	tools/sanitize/needs.sh
	tools/sanitize/build.sh $(SANITIZED)
	touch $@

# Under the tool $(1) with the proofs $(2): the tests $(3).
define sanitized
	$(SANITIZED) -m pytest -q -n 2 tests/sanitizers -k $(2) -o timeout=300
	tools/sanitize/run.sh $(1) $(SANITIZED) $(3)
endef

sanitize: $(SANITIZE)/.ready
	$(UNSTABLE) tools/sanitize/rust.sh
	$(call sanitized,asan,asan,$(call but,$(ABOUT_NO_MEMORY)))
	$(call sanitized,memcheck,memcheck,-k "$(MEMCHECK_ONLY)" $(UNDER_MEMCHECK:%=tests/python/test_%.py))

sanitize-quick: $(SANITIZE)/.ready
	$(UNSTABLE) tools/sanitize/rust.sh
	$(call sanitized,asan,asan,$(IN_CI:%=tests/python/test_%.py))

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
	$(VENV)/$(NEWEST)/bin/python -m soak.siege
	PINWIRE_SOAK=1 $(VENV)/$(NEWEST)/bin/python -m pytest -q tests/python/test_bulk_storm.py \
		tests/python/test_channel_sequences.py tests/python/test_threads_stress*.py

soak-quick: export PYTHONPATH := tests
soak-quick: $(VENV)/$(NEWEST)/.ready soak-tools
	$(VENV)/$(NEWEST)/bin/python -m soak --seconds 60 $(SOAK)
	$(VENV)/$(NEWEST)/bin/python -m soak.siege --seconds 5 --peers 150

check: $(CHECK)/.ready deny
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
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

clean:
	rm -rf $(VENV) target
