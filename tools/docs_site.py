"""What the site needs beside docs/: files of the repository that its pages link to.

Links are written so that they work in the repository. Here those that leave docs/ lead to a page or
a file that the site gets for them, and one to a table in the README becomes the table.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = ["ARCHITECTURE.md", "CHANGELOG.md"]
HOME = {"README.md": "index.md", "docs/decisions": "decisions/index.md"}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
_EXCERPT = re.compile(r"\[[^]]*\]\([./]*README\.md[^)]*\) <!-- here: (\w+) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside of docs/."""
    examples = [f"examples/{path.name}" for path in sorted((ROOT / "examples").glob("*.py"))]
    for name in [*PAGES, *examples]:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links of the repository into those of the site."""
    here = page.file.src_uri
    source = here if here in PAGES else f"docs/{here}"

    def rewritten(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        target = HOME.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(target, posixpath.dirname(here) or ".")

    return _LINK.sub(rewritten, _EXCERPT.sub(_excerpt, markdown))


def _excerpt(wanted: re.Match[str]) -> str:
    name = wanted[1]
    readme = (ROOT / "README.md").read_text()
    between = re.search(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", readme, re.DOTALL)
    if between is None:
        raise ValueError(f"the README has no {name}")
    return between[1]
