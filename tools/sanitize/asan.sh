#!/bin/sh
# Run a Python, and every one that it starts, on the instrumented pinwire.
# usage: asan.sh PYTHON ARGUMENT...
# What is found goes to standard error, or to files that begin with $FINDINGS.
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../target/sanitize
export PYTHONPATH="$out/site${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONMALLOC=malloc # a freed object is freed memory, not a hole in an arena
# The check is made by site/sitecustomize.py: before the interpreter ends, and only in Pythons.
export ASAN_OPTIONS="detect_leaks=1:leak_check_at_exit=0${FINDINGS:+:log_path=$FINDINGS}"
export LSAN_OPTIONS="suppressions=$here/leaks.supp:print_suppressions=0"
export LD_PRELOAD="$out/asan-runtime.so"
exec "$@"
