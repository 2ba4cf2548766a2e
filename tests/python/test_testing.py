"""`pinwire.testing`: our own streams keep the contract, and who breaks it is found."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import socket
import subprocess
import sys
import unittest
from pathlib import Path

import pytest
import uvloop
from support import LISTEN_ON, cancelled, until
from wrong_streams import BREAKS, PEP_688, Right, maker

import pinwire
import pinwire.blocking
import pinwire.testing

CHECKS = {check.name: check for check in pinwire.testing.checks()}
PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()


def made_by(face, transport):
    """A maker of pairs, as a user would write one."""
    if transport == "socketpair":
        return face.socketpair
    numbers = itertools.count()

    def address():
        return LISTEN_ON[transport].format(name=f"testing-{os.getpid()}-{next(numbers)}")

    @contextlib.asynccontextmanager
    async def make_pair(**options):
        async with (
            pinwire.listen(address(), **options) as listener,
            pinwire.connect(listener.address, **options) as client,
            await listener.accept() as server,
        ):
            yield client, server

    @contextlib.contextmanager
    def make_blocking_pair(**options):
        with (
            face.listen(address(), **options) as listener,
            face.connect(listener.address, **options) as client,
            listener.accept() as server,
        ):
            yield client, server

    return make_pair if face is pinwire else make_blocking_pair


@pytest.mark.parametrize("transport", ["tcp", "unix", "socketpair"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_suite_when_streams_are_awaited_then_every_clause_holds(loop, transport):
    factory = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[loop]
    with asyncio.Runner(loop_factory=factory) as runner:
        report = runner.run(pinwire.testing.check_streams(made_by(pinwire, transport)))
    assert report.not_checked.keys() <= ({PEP_688} if sys.version_info < (3, 12) else set())
    assert report.passed == tuple(name for name in CHECKS if name not in report.not_checked)


@pytest.mark.parametrize("transport", ["tcp", "unix", "socketpair"])
def test_suite_when_streams_block_then_every_clause_that_is_not_about_awaiting_holds(transport):
    make_pair = made_by(pinwire.blocking, transport)
    report = asyncio.run(pinwire.testing.check_streams(make_pair))
    awaited = {name for name, check in CHECKS.items() if "asyncio" in check.needs}
    assert report.not_checked.keys() - {PEP_688} == awaited
    assert len(report.passed) == len(CHECKS) - len(report.not_checked)


def test_suite_when_the_stream_is_of_another_class_then_it_passes():
    report = asyncio.run(pinwire.testing.check_streams(maker(Right), payload=128 * 1024))
    assert report.not_checked.keys() <= {PEP_688}


def test_suite_when_clauses_are_broken_then_one_group_has_them_all():
    kind = next(kind for kind in BREAKS if kind.__name__ == "CountsItems")
    left_out = {name.partition(".")[0] for name in CHECKS} - {"bytes"}
    with pytest.raises(ExceptionGroup, match="checks have failed") as caught:
        asyncio.run(pinwire.testing.check_streams(maker(kind), skip=left_out, patience=0.4))
    notes = " ".join(note for error in caught.value.exceptions for note in error.__notes__)
    assert all(name in notes for name in BREAKS[kind])
    assert any(
        "not checked, as cancel is to be skipped: cancel." in note
        for note in caught.value.__notes__
    )


class Bare:
    """The least a stream may have; its calls are coroutines, without options."""

    def __init__(self, stream):
        self.close = stream.close
        self._stream = stream

    async def send_buffer(self, buffer):
        return await self._stream.send_buffer(buffer)

    async def recv_into(self, buffer, *, nbytes=0):
        return await self._stream.recv_into(buffer, nbytes=nbytes)


def test_suite_when_the_stream_lacks_something_then_it_is_reported_as_not_checked():
    parts = ("transfer", "pins")
    report = asyncio.run(pinwire.testing.check_streams(maker(Bare), skip=parts, payload=128 * 1024))
    reasons = report.not_checked
    assert reasons["end.half_a_close_leaves_the_other_half"] == "the stream has no send_eof"
    assert reasons["timeouts.time_enough_changes_nothing"].endswith("takes no timeout=")
    assert reasons["pins.a_cancel_lets_go"] == "pins is to be skipped"
    assert "bytes.large_sends_arrive_whole" in report.passed
    assert set(report.passed) | set(reasons) == set(CHECKS)


class Plain:
    """What the standard library has, by the names of the suite."""

    def __init__(self, sock):
        self.fileno, self.close, self._sock = sock.fileno, sock.close, sock

    def send_buffer(self, buffer):
        self._sock.sendall(buffer)
        return memoryview(buffer).nbytes

    def recv_into(self, buffer, *, nbytes=0):
        return self._sock.recv_into(buffer, nbytes)

    def send_eof(self):
        self._sock.shutdown(socket.SHUT_WR)


def plain_sockets(send_buffer_size, recv_buffer_size):
    pair = socket.socketpair()
    for sock in pair:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_size)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, recv_buffer_size)
    return Plain(pair[0]), Plain(pair[1])


def test_suite_when_streams_are_sockets_of_the_standard_library_then_it_tells_what_they_lack():
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(
            pinwire.testing.check_streams(
                plain_sockets, skip=("conflicts", "close", "numpy"), patience=1
            )
        )
    broken = [error.__notes__[-1].partition(":")[0] for error in caught.value.exceptions]
    assert broken == [
        "exporters.strided_memory_is_sent_in_order",
        "refusals.read_only_memory_is_no_target",  # a TypeError
        "refusals.pointers_of_ctypes_never_travel",
        "pins.an_end_by_error_lets_go",  # to close it does not wake who is in a call
        *[PEP_688] * (sys.version_info >= (3, 12)),
    ]


def test_skip_when_a_name_is_unknown_then_value_error():
    with pytest.raises(ValueError, match="nothing to skip is called cancels"):
        asyncio.run(pinwire.testing.check_streams(pinwire.socketpair, skip=["cancels"]))


def test_errors_when_those_of_another_library_are_given_then_they_count():
    class Other(Right):
        async def recv_into(self, buffer, **options):
            try:
                return await self._stream.recv_into(buffer, **options)
            except pinwire.BusyError as error:
                raise InterruptedError from error

    check = CHECKS["conflicts.a_second_receive_is_refused"]
    errors = pinwire.testing.Errors(busy=InterruptedError)
    asyncio.run(check.run(maker(Other), errors=errors))
    with pytest.raises(pinwire.testing.ClauseError, match="InterruptedError instead of BusyError"):
        asyncio.run(check.run(maker(Other)))


def test_check_when_the_stream_cancels_by_itself_then_that_is_a_failure_of_the_clause():
    class Cancels(Right):
        async def recv_into(self, buffer, **options):
            raise asyncio.CancelledError

    with pytest.raises(pinwire.testing.ClauseError, match="nobody cancelled"):
        asyncio.run(CHECKS["bytes.large_sends_arrive_whole"].run(maker(Cancels)))


def test_check_when_its_task_is_cancelled_then_it_ends_and_closes_its_pair():
    pairs = []

    def make_pair(**options):
        pairs.extend(pinwire.socketpair(**options))
        return pairs

    async def wait(pair):
        await pair.client.call("recv_into", bytearray(1))

    async def main():
        task = asyncio.create_task(pinwire.testing.Check("wait", "", wait).run(make_pair))
        await until(lambda: pairs and pairs[0].stats().waits)
        await cancelled(task)

    asyncio.run(main())
    assert [stream.fileno() for stream in pairs] == [-1, -1]


def test_pair_when_its_buffers_hold_the_payload_then_it_is_unsuitable():
    check = CHECKS["conflicts.a_second_send_is_refused"]
    with pytest.raises(pinwire.testing.UnsuitableError, match="buffers"):
        asyncio.run(check.run(pinwire.socketpair, buffer_size=1 << 16, payload=1000))


def test_check_when_the_stream_lacks_what_it_needs_then_pytest_skips():
    with pytest.raises(pinwire.testing.NotChecked) as caught:
        asyncio.run(CHECKS["timeouts.time_enough_changes_nothing"].run(maker(Bare)))
    assert isinstance(caught.value, unittest.SkipTest)


def test_page_when_its_snippets_run_then_they_do_what_they_say(capsys):
    suite, line = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(suite, {})
    hold = [int(number) for number in re.findall(r"(\d+) hold", capsys.readouterr().out)]
    assert len(CHECKS) - 1 <= hold[0] <= len(CHECKS)
    assert hold[0] - hold[1] == sum("asyncio" in check.needs for check in CHECKS.values())
    names = {}
    exec(line, names)
    for check in list(CHECKS.values())[:3]:
        names["test_contract"](check)


def test_page_when_read_then_its_tables_have_every_part_and_option():
    parts = [name.partition(".")[0] for name in CHECKS]
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == ["skip", *pinwire.testing.Options.__annotations__, *dict.fromkeys(parts)]


def test_module_when_imported_then_it_needs_neither_pytest_nor_numpy():
    code = "import sys, pinwire.testing; print({'pytest', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
