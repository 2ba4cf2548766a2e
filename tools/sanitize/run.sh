#!/bin/sh
# Run tests of the Python suite under a sanitizer; what any process was found to do fails the run.
# usage: run.sh asan|memcheck PYTHON ARGUMENT-OF-PYTEST...
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tool=$1
python=$2
shift 2
findings=target/sanitize/findings/$tool
rm -rf $findings
mkdir -p -m 1777 $findings # some tests are nobody
export FINDINGS="$PWD/$findings/$tool"
export PYTHONPATH="$here" # left_out
export PINWIRE_TEST_PATIENCE=100 # seconds, for what is a matter of ten without

failed=0
"$here/$tool.sh" "$python" -m pytest -q -n 2 -p left_out -o timeout=300 "$@" || failed=$?
if [ $tool = asan ]; then
	[ -s "$FINDINGS.looked" ] || { echo "no Python was searched for leaks" >&2; exit 1; }
	echo "$(sort -u "$FINDINGS.looked" | wc -l) Pythons were searched for leaks at their end"
fi
found=$(find $findings -type f -size +0 ! -name '*.looked')
if [ -n "$found" ]; then
	cat $found
	echo "$tool found something: $found" >&2
	exit 1
fi
exit $failed
