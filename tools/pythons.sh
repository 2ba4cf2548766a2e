#!/bin/sh
# Print "VERSION PATH" for each supported CPython on this machine.
# Looks on PATH, then among pyenv's versions; the first that runs wins.
for version in 3.11 3.12 3.13 3.14; do
    for python in "python$version" python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
        found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) || continue
        case $found in
            "$version "*) echo "$found"; break ;;
        esac
    done
done
