"""What a sanitizer forbids tests to do, or spoils: a plugin of pytest that skips those."""

from __future__ import annotations

import fnmatch

import pytest

LEFT_OUT = {
    # AddressSanitizer maps terabytes for its shadow, and aborts when a map is refused.
    "*test_bulk_limits.py::test_bulk_when_there_is_no_thread_to_be_had_*": "RLIMIT_AS",
    "*test_channel_programs.py::*": "RLIMIT_NOFILE",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for pattern, reason in LEFT_OUT.items():
            if fnmatch.fnmatch(item.nodeid, pattern):
                item.add_marker(pytest.mark.skip(reason=f"left out under a sanitizer: {reason}"))
