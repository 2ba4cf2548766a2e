"""The pages of docs/: their programs print what they promise, their links lead to something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import printed_by

import pinwire
from pinwire import blocking

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(DOCS)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>no-run|run by):? (?P<why>[^\n]+) -->\n)?"
    r"```python[^\n]*\n(?P<code>.*?)^```\n"
    r"(?:\n```text\n(?P<promise>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
BLOCKS = [(page, block) for page, text in PAGES.items() for block in BLOCK.finditer(text)]
PROGRAMS: dict[str, list[re.Match[str]]] = {}
for page, block in BLOCKS:
    if block["mark"] is None:
        PROGRAMS.setdefault(page, []).append(block)

# Those of a page run in one process: starting one takes longer than most of them.
ONE_BY_ONE = """
import runpy, sys
for path in sys.argv[1:]:
    print("::", path)
    runpy.run_path(path, run_name="__main__")
"""


@pytest.mark.parametrize("page", sorted(PROGRAMS))
def test_page_when_its_programs_run_then_they_print_what_it_says(page, tmp_path):
    paths, said = [], []
    for number, block in enumerate(PROGRAMS[page]):
        path = tmp_path / f"{number}.py"
        path.write_text(block["code"])
        paths.append(str(path))
        said.append(f":: {path}\n{block['promise']}")
    assert printed_by("-c", ONE_BY_ONE, *paths) == "".join(said)


def test_programs_when_counted_then_each_promises_something_and_is_short():
    assert len(PROGRAMS) >= 11
    for page, blocks in PROGRAMS.items():
        for block in blocks:
            assert block["promise"], (page, block["code"])
            assert len(block["code"].splitlines()) <= 35, (page, block["code"])


def test_blocks_when_shown_then_no_line_is_cut_off_beside_the_menus():
    for page, block in BLOCKS:
        assert max(map(len, block["code"].splitlines())) <= 80, (page, block["code"])


def test_blocks_when_counted_then_the_marked_ones_are_those_we_know():
    fences = sum(len(re.findall(r"^\s*```python", text, re.MULTILINE)) for text in PAGES.values())
    assert fences == len(BLOCKS)
    marked = [(page, block["mark"]) for page, block in BLOCKS if block["mark"]]
    assert marked == [
        ("dask.md", "run by"),
        ("how-to/moving.md", "no-run"),
        ("security.md", "run by"),
        ("testing.md", "run by"),
        ("testing.md", "run by"),
    ]


def test_blocks_when_run_by_another_test_then_that_one_has_them():
    found = {block["why"]: block["code"] for _, block in BLOCKS if block["mark"] == "run by"}
    assert all((ROOT / test).is_file() for test in found)
    assert found["tests/python/test_examples.py"] in (ROOT / "README.md").read_text()


def test_blocks_when_not_run_then_they_compile():
    for page, block in BLOCKS:
        if block["mark"] == "no-run":
            lines = "".join(f"    {line}\n" for line in block["code"].splitlines())
            compile(f"async def main():\n{lines}", page, "exec")


@pytest.mark.parametrize("page", sorted(PAGES))
def test_page_when_it_links_then_the_repository_has_the_file(page):
    prose = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", prose):
        assert ((DOCS / page).parent / link).exists(), link


def test_decisions_when_listed_then_the_index_has_each():
    pages = {Path(page).name for page in PAGES if page.startswith("decisions/")}
    listed = re.findall(r"\]\(([^)]+)\)", PAGES["decisions/index.md"])
    assert sorted(listed) == sorted(pages - {"index.md"})


def test_reference_when_read_then_it_has_every_public_name():
    text = "\n".join(text for page, text in PAGES.items() if page.startswith("reference/"))
    shown = set(re.findall(r"^::: (\S+)", text, re.MULTILINE))
    public = {f"pinwire.{name}" for name in pinwire.__all__ if not name.endswith("Error")}
    public |= {f"pinwire.blocking.{name}" for name in blocking.__all__}
    assert public <= shown
    assert {"pinwire.errors", "pinwire.testing"} <= shown
