"""The page that lists every way in names files, tests and fuzz targets that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "decisions" / "2026-11-29-every-way-in.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]
TARGETS = {path.stem for path in (ROOT / "fuzz" / "fuzz_targets").glob("*.rs")}


def test_page_when_it_names_a_file_then_it_is_there():
    named = {name for row in ROWS for name in re.findall(r"`([\w/]+\.(?:rs|py))`", row)}
    assert len(named) > 30
    roots = ["", "src", "src/py/channel", "python/pinwire", "tests/python"]
    missing = [name for name in named if not any((ROOT / it / name).is_file() for it in roots)]
    assert missing == []


def test_page_when_a_place_is_listed_then_a_test_covers_it():
    assert [
        row for row in ROWS if not re.search(r"`(?:\w+/)?test_\w+\.py`|`tests/\w+\.rs`", row)
    ] == []


def test_targets_when_listed_then_the_page_the_makefile_and_the_corpus_have_each():
    (listed,) = re.findall(r"^FUZZ_TARGETS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row)}
    assert set(listed.split()) == TARGETS
    assert named >= TARGETS
    assert {path.name for path in (ROOT / "fuzz" / "corpus").iterdir()} == TARGETS
