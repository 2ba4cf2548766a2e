"""Importing is cheap: what takes long is imported by whoever uses it."""

from __future__ import annotations

import pytest
from support import program

import pinwire


@pytest.mark.parametrize(
    ("module", "spared"),
    [("pinwire", ["asyncio", "socket", "typing"]), ("pinwire.blocking", ["asyncio", "typing"])],
)
def test_module_when_imported_then_what_it_may_never_need_is_not(module, spared):
    code = f"""
        import sys
        before = set(sys.modules)  # whatever the environment brings along
        import {module}
        print({{*{spared}}} & set(sys.modules) - before)
    """
    assert program(code) == (0, "set()\n", "")


@pytest.mark.parametrize("statement", ["import pinwire as p", "from pinwire import *"])
def test_names_when_not_used_yet_then_all_of_them_are_there(statement):
    code = f"""
        import pinwire
        assert set(pinwire.__all__) <= set(dir(pinwire))
        {statement}
        assert all(hasattr(pinwire, name) for name in pinwire.__all__)
        assert pinwire.connect is pinwire.connect
    """
    assert program(code) == (0, "", "")


def test_name_when_there_is_none_then_the_error_is_that_of_any_module():
    with pytest.raises(AttributeError, match="module 'pinwire' has no attribute 'conect'"):
        _ = pinwire.conect
