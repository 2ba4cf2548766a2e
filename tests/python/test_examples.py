"""Examples and the README's snippets run, and say what they promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import printed_by

ROOT = Path(__file__).parents[2]
PROMISES = {
    "async_echo.py": "2,097,152 bytes there and back, equal: True",
    "blocking_threads.py": "rows collected: [0. 1. 2. 3.]",
    "camera_ring.py": "60 frames through 4 slots, in order: True",
    "dask_cluster.py": "sum right: True, 200 MB went past the socket",
    "dataframe.py": "the summary of the other process is right",
    "numpy_stack.py": "5 arrays, equal: True",
    "own_stream.py": "SockCalls: 3 of 7 checks have failed",
    "parameter_server.py": "100 steps of 4 workers, weights found: True",
}
SNIPPETS = ["8000000\n", "8000000\n", "{'step': 7} 2000000.0\n", "6\n"]


def test_examples_when_listed_then_each_has_a_promise():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(PROMISES)


@pytest.mark.parametrize("name", sorted(PROMISES))
def test_example_when_run_then_it_keeps_its_promise(name):
    path = ROOT / "examples" / name
    assert len(path.read_text().splitlines()) <= 80
    assert PROMISES[name] in printed_by(str(path))


def test_readme_when_its_snippets_run_then_they_print_what_they_say(tmp_path):
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for snippet, promise in zip(snippets, SNIPPETS, strict=True):
        path = tmp_path / "snippet.py"
        path.write_text(snippet)
        assert printed_by(str(path)) == promise
