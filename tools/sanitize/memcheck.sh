#!/bin/sh
# Run a Python, and every one that it starts, on the installed pinwire under valgrind's memcheck.
# usage: memcheck.sh PYTHON ARGUMENT...
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONMALLOC=malloc # a freed object is freed memory, not a hole in an arena
exec valgrind --quiet --error-exitcode=99 --leak-check=no --num-callers=20 --fair-sched=try \
	--trace-children=yes --trace-children-skip='*/ip,*/sh,*/cc,*/gcc,*/ld,*/ldconfig' \
	${FINDINGS:+--log-file="$FINDINGS.%p"} --suppressions="$here/memcheck.supp" "$@"
