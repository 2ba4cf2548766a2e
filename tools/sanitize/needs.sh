#!/bin/sh
# See to it that what the sanitizers need of the system is there.
set -eu
# llvm-symbolizer: reports name functions, and so do the leaks that are known.
for need in llvm-symbolizer:llvm valgrind:valgrind cc:gcc ar:binutils; do
	command -v "${need%%:*}" >/dev/null && continue
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "${need%%:*} is missing: install the package ${need##*:} and start again" >&2
		exit 1
	fi
	apt-get update -qq
	apt-get install -qq --no-install-recommends "${need##*:}"
done
