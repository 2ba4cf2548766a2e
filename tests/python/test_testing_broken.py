"""Each check of `pinwire.testing` finds the stream that breaks its clause, and says so."""

from __future__ import annotations

import asyncio
import sys

import pytest
from wrong_streams import BLOCKING, BREAKS, CASES, PEP_688, maker

import pinwire.blocking
import pinwire.testing

CHECKS = {check.name: check for check in pinwire.testing.checks()}
NAMES = [f"{kind.__name__}-{name}" for kind, name, _ in CASES]


def expect_broken(make_pair, name, said):
    if name == PEP_688 and sys.version_info < (3, 12):
        pytest.skip("PEP 688 is of Python 3.12")
    patience = 0.4 if said.startswith("not done") else 2
    with pytest.raises(Exception) as caught:
        asyncio.run(CHECKS[name].run(make_pair, patience=patience, payload=128 * 1024))
    assert not isinstance(caught.value, pinwire.testing.NotChecked)
    assert said in str(caught.value)
    assert any(CHECKS[name].clause in note for note in caught.value.__notes__)


@pytest.mark.parametrize(("kind", "name", "said"), CASES, ids=NAMES)
def test_check_when_a_stream_breaks_its_clause_then_it_says_so(kind, name, said):
    expect_broken(maker(kind), name, said)


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [case for case in CASES if case[0] in BLOCKING and "asyncio" not in CHECKS[case[1]].needs],
)
def test_check_when_a_blocking_stream_breaks_its_clause_then_it_says_so(kind, name, said):
    expect_broken(maker(kind, pinwire.blocking.socketpair), name, said)


def test_checks_when_listed_then_each_has_a_clause_and_can_fail():
    assert all(check.clause and str(check) == name for name, check in CHECKS.items())
    assert set(CHECKS) == {name for breaks in BREAKS.values() for name in breaks}
