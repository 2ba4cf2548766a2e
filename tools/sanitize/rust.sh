#!/bin/sh
# The Rust tests under AddressSanitizer, and the mistakes that it must find.
set -eu
tests() { sh tools/sanitize/cargo.sh test --no-default-features "$@"; }

finds() { # MISTAKE REPORT
	if said=$(tests --test mistakes -- --ignored --exact "$1" 2>&1); then
		echo "nothing was found when $1" >&2
		exit 1
	fi
	case $said in
	*"$2"*) echo "$2 was found when $1" ;;
	*) echo "$said" >&2; exit 1 ;;
	esac
}

tests
finds a_freed_block_is_read heap-use-after-free
finds a_block_is_written_past_its_end heap-buffer-overflow
finds a_block_is_lost "detected memory leaks"
