"""All checks, and all of them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import (
    _bytes,
    _cancelling,
    _closing,
    _conflicts,
    _ending,
    _exporters,
    _pins,
    _refusals,
    _timeouts,
    _transfers,
)
from ._outcome import NotChecked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Unpack

    from ._check import Check
    from ._pair import MakePair
    from ._settings import Options

SECTIONS = [
    section.section
    for section in (
        _bytes,
        _exporters,
        _refusals,
        _pins,
        _ending,
        _conflicts,
        _cancelling,
        _timeouts,
        _closing,
        _transfers,
    )
]


class Report(NamedTuple):
    """What became of each check of a suite in which nothing was broken."""

    passed: tuple[str, ...]
    """Names of the checks whose clauses hold."""

    not_checked: Mapping[str, str]
    """Names of those that were not made, and why: skipped, or the stream lacks what they need."""


def checks() -> list[Check]:
    """Every check there is, in order: the simple things first.

    With pytest they are one test each, whose failure shows the clause::

        @pytest.mark.parametrize("check", pinwire.testing.checks(), ids=str)
        def test_contract(check):
            asyncio.run(check.run(make_pair))
    """
    return [check for section in SECTIONS for check in section.checks]


async def check_streams(
    make_pair: MakePair, /, *, skip: Iterable[str] = (), **options: Unpack[Options]
) -> Report:
    """Make every check on a new pair of streams each, and tell of all that is broken at once.

    `make_pair(send_buffer_size=..., recv_buffer_size=...)` gives two connected streams with small
    buffers (`payload` has to be more than they hold), an awaitable of them, or a context manager.
    `skip` has names of checks ("cancel.a_waiting_receive_takes_nothing"), of parts ("cancel") or
    of needs ("recv_buffers_into", "timeout=") that are not to be looked at. A method that the
    streams do not have is not looked at, either; both are told in the report. Calls that block
    are made in threads.

    Raises ExceptionGroup with an exception for each check that has failed, whose note is the
    clause; TypeError or ValueError for options that are none.
    """
    left_out = frozenset(skip)
    known = {word for check in checks() for word in _words(check)}
    if unknown := left_out - known:
        raise ValueError(f"nothing to skip is called {', '.join(sorted(unknown))}")
    passed: list[str] = []
    not_checked: dict[str, str] = {}
    broken: list[Exception] = []
    for check in checks():
        if found := left_out.intersection(_words(check)):
            not_checked[check.name] = f"{min(found)} is to be skipped"
            continue
        try:
            await check.run(make_pair, **options)
        except NotChecked as skipped:
            not_checked[check.name] = str(skipped)
        except Exception as error:
            broken.append(error)
        else:
            passed.append(check.name)
    if broken:
        made = len(passed) + len(broken)
        group = ExceptionGroup(f"{len(broken)} of {made} checks have failed", broken)
        for reason in dict.fromkeys(not_checked.values()):
            names = [name for name, why in not_checked.items() if why == reason]
            group.add_note(f"not checked, as {reason}: {', '.join(names)}")
        raise group
    return Report(tuple(passed), not_checked)


def _words(check: Check) -> set[str]:
    return {check.name, check.name.partition(".")[0], *check.needs}
