"""The page on threads says of everything that is shared what protects it, and the module agrees."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import pinwire

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/decisions/2026-11-21-threads.md").read_text()
SOURCES = {path: path.read_text() for path in (ROOT / "src").rglob("*.rs")}
ROWS = [line.split("|") for line in PAGE.splitlines() if line.startswith("| ")]
AUDITED = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[1])}


def found(pattern: str) -> set[str]:
    names = {name for text in SOURCES.values() for name in re.findall(pattern, text, re.MULTILINE)}
    assert names
    return names


def test_free_threading_when_the_audit_has_gaps_then_it_is_not_declared():
    declared = re.search(r"#\[pymodule\(gil_used = (\w+)\)\]", SOURCES[ROOT / "src/py/mod.rs"])
    assert f"`gil_used = {declared[1]}`.**" in PAGE
    assert ("**open**" in PAGE) == (declared[1] == "true")


@pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", bool) is bool, reason="before 3.13 there is always a GIL"
)
def test_free_threading_when_not_declared_then_there_is_a_gil_once_pinwire_is_imported():
    assert pinwire.Stream
    assert sys._is_gil_enabled()


@pytest.mark.parametrize(
    "pattern",
    [
        r"#\[pyclass[^\]]*\][^;{]*?struct (\w+)",
        r"^ *(?:pub )?static ([A-Z_]+):",
        r"^unsafe impl (?:Send|Sync) for (\w+)",
    ],
    ids=["classes", "statics", "unsafe impl"],
)
def test_what_threads_share_when_looked_for_in_the_sources_then_the_audit_has_it(pattern):
    assert found(pattern) <= AUDITED


def test_audit_when_compared_to_the_sources_then_nothing_in_it_is_gone():
    text = "".join(SOURCES.values())
    in_capitals = {name for name in AUDITED if name[0].isupper()}
    assert {name for name in in_capitals if not re.search(rf"\b{name}\b", text)} == set()


def test_classes_of_the_core_when_shared_then_they_are_frozen():
    assert all("frozen" in options for options in found(r"^#\[pyclass\(([^)]*)\)\]"))
    assert not re.search(r"^#\[pyclass\]", "".join(SOURCES.values()), re.MULTILINE)
