"""Imports within the package run one way: each module knows only those below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pinwire

# Lowest first; modules of one row do not know each other.
LAYERS = [
    {"_types", "errors"},
    {"_core"},
    {"_memory"},
    {"_wake", "_open", "_dtypes", "_pickling", "_admission"},
    {"_asyncio", "_blocking", "_posted", "_blocking_posted"},
    {"_channel", "_blocking_channel"},
    {"_blocking_door"},
    {"_server", "_blocking_server"},
    {"__init__", "blocking"},
    {"_cli", "dask", "testing"},
    {"__main__"},
]
# The command line's own; it uses `pinwire` as anyone does.
CLI_LAYERS = [
    {"errors", "defaults"},
    {"names", "marks", "wire", "progress"},
    {"digest", "patience", "part", "sessions", "bench_peer"},
    {"incoming", "bench", "send"},
    {"store"},
    {"receiving"},
    {"recv"},
    {"__init__"},
]
# The backend's own, which stands on all of the asyncio face.
DASK_LAYERS = [
    {"_frames", "_options"},
    {"_comm"},
    {"_backend"},
    {"__init__"},
]
# The conformance suite's own; each section is one part of the contract.
TESTING_LAYERS = [
    {"_outcome", "_settings"},
    {"_flight"},
    {"_pair"},
    {"_check", "_tearing"},
    {"_bytes", "_cancelling", "_closing", "_conflicts", "_ending", "_pins", "_transfers"},
    {"_exporters", "_timeouts"},
    {"_refusals"},
    {"_suite"},
    {"__init__"},
]
PACKAGE = Path(pinwire.__file__).parent


def rank(module: str, layers: list[set[str]] = LAYERS) -> int:
    return next(i for i, layer in enumerate(layers) if module in layer)


def imports(source: str, level: int = 1) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == level:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("pinwire")
    return found


def test_modules_when_listed_then_each_is_in_a_layer():
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {"_core", "_cli"}
    modules |= {"dask", "testing"}
    assert modules == set().union(*LAYERS)
    assert {path.stem for path in (PACKAGE / "_cli").glob("*.py")} == set().union(*CLI_LAYERS)
    assert {path.stem for path in (PACKAGE / "dask").glob("*.py")} == set().union(*DASK_LAYERS)
    suite = {path.stem for path in (PACKAGE / "testing").glob("*.py")}
    assert suite == set().union(*TESTING_LAYERS)


def test_imports_when_read_then_they_run_downwards():
    edges = 0
    for path in [*PACKAGE.glob("*.py"), PACKAGE / "_core.pyi"]:
        for used in imports(path.read_text()):
            assert rank(used) < rank(path.stem), f"{path.stem} imports {used}"
            edges += 1
    assert edges > 5


def test_imports_of_the_command_line_when_read_then_they_run_downwards():
    for path in (PACKAGE / "_cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                used = node.module or ""
                assert rank(used, CLI_LAYERS) < rank(path.stem, CLI_LAYERS), f"{path.stem}: {used}"


def test_imports_of_the_backend_when_read_then_they_run_downwards():
    for path in (PACKAGE / "dask").glob("*.py"):
        for used in imports(path.read_text()):
            assert rank(used, DASK_LAYERS) < rank(path.stem, DASK_LAYERS), f"{path.stem}: {used}"
        for used in imports(path.read_text(), level=2):
            assert rank(used) < rank("dask"), f"{path.stem}: {used}"


def test_imports_of_the_suite_when_read_then_they_run_downwards_and_know_only_the_errors():
    for path in (PACKAGE / "testing").glob("*.py"):
        for used in imports(path.read_text()):
            assert rank(used, TESTING_LAYERS) < rank(path.stem, TESTING_LAYERS), (
                f"{path.stem}: {used}"
            )
        assert imports(path.read_text(), level=2) <= {"errors"}
