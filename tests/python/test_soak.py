"""The soak itself: what it counts and judges can fail, and a short round of it passes."""

from __future__ import annotations

import os
import random
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from soak import census, documented, hosts, scenarios
from soak.content import Content, message
from soak.ledger import Account, Received, Sent, Way, judge, undocumented
from soak.memory import SENDING, Memory
from soak.remote import Remote
from soak.scenarios import ROLES, Maker
from soak.stage import Stage

import pinwire
import pinwire.blocking


def told(sent=None, received=None, **changes):
    account = Account(0, "yes", sent or Sent(), received or Received())
    return replace(account, **changes)


def judged(sent, received, way=None, messages=False):
    return judge(told(sent=sent), told(received=received), way or Way(), messages=messages)


def test_bytes_when_the_ends_agree_then_nothing_is_wrong():
    assert judged(Sent(10, end="done"), Received(10, end="eof")) == []
    assert judged(Sent(10, end="done"), Received(4, end="ConnectionResetError")) == []
    assert judged(Sent(10), Received(4, end="eof"), Way(4, spoilt=True)) == []
    assert judge(None, told(received=Received(4, end="eof")), Way(), messages=False) == []


@pytest.mark.parametrize(
    ("sent", "received", "way"),
    [
        (10, 9, Way()),
        (10, 11, Way()),
        (10, 3, Way(4, spoilt=True)),
        (10, 5, Way(4, spoilt=True)),
    ],
)
def test_bytes_when_some_are_lost_or_too_many_then_it_is_said(sent, received, way):
    assert judged(Sent(sent, end="done"), Received(received, end="eof"), way)


@pytest.mark.parametrize(
    ("received", "end"),
    [([0, 2], "last"), ([0, 2], "eof"), ([0, 2], "broken"), ([1, 0, 2], "last"), ([0, 1, 3], "")],
)
def test_messages_when_one_is_lost_strange_or_out_of_order_then_it_is_said(received, end):
    sent = Sent(messages=[(0, True), (1, True), (2, True)])
    assert judged(sent, Received(messages=received, end=end), messages=True)


def test_messages_when_only_an_interrupted_one_is_missing_then_nothing_is_wrong():
    sent = Sent(messages=[(0, True), (1, False), (2, True)])
    for received in ([0, 2], [0, 1, 2]):
        assert judged(sent, Received(messages=received, end="last"), messages=True) == []


def test_content_when_a_byte_or_the_place_is_wrong_then_it_is_not_that_content():
    content = Content("key")
    assert content.at(7, 3_000_000) == content.at(0, 3_000_007)[7:]
    assert content.at(0, 1000) != content.at(1 << 20, 1000)
    assert content.at(0, 1000) != Content("other").at(0, 1000)
    expected = message("key", 0, 10_000, ("arrays",)).parts[0]
    memory = bytearray(expected.data)
    array = np.frombuffer(memory, expected.dtype).reshape(expected.shape, order=expected.order)
    assert expected.matches(array)
    memory[-1] ^= 1
    assert not expected.matches(array)


def test_memory_when_a_transfer_still_has_it_then_its_release_says_so():
    stream, peer = pinwire.blocking.socketpair()
    with stream, peer:
        memory = Memory(random.Random(1), SENDING[:1], b"data")
        view = memoryview(memory._pieces[0])
        assert memory.release()
        view.release()
        assert Memory(random.Random(1), SENDING[:1], b"data").release() == []


def counts(**changes):
    return {"workers": 1, "in_flight": 0} | census.of(os.getpid()) | {"objects": {}} | changes


def test_growth_when_a_descriptor_thread_object_or_flight_is_left_then_it_is_said():
    growth = census.Growth()
    assert growth.judge(counts()) == []
    assert growth.judge(counts(in_flight=1))
    assert growth.judge(counts(objects={"Stream": 1}))
    left, right = os.pipe()
    assert any("fds" in text for text in growth.judge(counts()))
    os.close(left)
    os.close(right)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert any("threads" in text for text in growth.judge(counts()))
    finally:
        done.set()
        thread.join()
    assert growth.judge(counts()) == []


@pytest.mark.parametrize(("step", "is_growth"), [(0, False), (50, False), (700, True)])
def test_growth_when_memory_rises_from_round_to_round_then_it_is_said(step, is_growth):
    growth = census.Growth()
    for number in range(90):
        noise = 5000 if number % 4 == 0 else 0
        growth.remember({"memory": 50_000 + step * number + noise})
    assert bool(growth.judge_memory()) == is_growth


def test_errors_when_nothing_explains_them_then_they_are_undocumented():
    account = Account(0)
    account.note(documented.name(ConnectionResetError(104, "reset")), asked=False)
    account.note(documented.name(pinwire.TransferTimeoutError(110, "late")), asked=True)
    assert undocumented(account, documented.PEER_GONE) == []
    account.note(documented.name(ValueError("?")), asked=False)
    assert undocumented(account, documented.PEER_GONE) == ["ValueError"]
    assert undocumented(account, ()) == ["ConnectionResetError:ECONNRESET", "ValueError"]


def test_remote_when_it_is_asked_then_it_counts_and_leaves_with_its_driver(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    remote = Remote("party")
    try:
        assert remote.count()["in_flight"] == 0
    finally:
        remote.close()
    assert remote._process.returncode == 0


def test_link_when_it_is_left_then_its_namespaces_are_gone():
    if reason := hosts.missing():
        pytest.skip(reason)
    with hosts.Link() as link:
        pids = [link.near.pid, link.far.pid]
        link.lose(random.Random(1))
        link.slow(random.Random(1))
        link.clear()
        namespaces = {Path(f"/proc/{pid}/ns/net").readlink() for pid in pids}
        assert len(namespaces - {Path("/proc/self/ns/net").readlink()}) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("name", ["calm", "proxy"])
def test_round_when_it_is_played_then_every_byte_and_error_is_accounted_for(name, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    with Stage(with_link=False) as stage:
        verdict = stage.play(name, "1 test 0")
    assert verdict.wrong == [] and verdict.received and verdict.flows


def test_round_when_one_end_lies_then_it_is_found_out(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    made = Maker(random.Random(1), "lie").round(1, is_channel=False)
    made.faces = dict(zip(ROLES, ["blocking", "asyncio"], strict=True))
    honest = made.settings

    def settings(role):
        told = honest(role)
        if role == "listen":
            told["flows"][0]["key"] = "another"
        return told

    monkeypatch.setattr(made, "settings", settings)
    monkeypatch.setitem(scenarios.SCENARIOS, "calm", lambda _: made)
    with Stage(with_link=False) as stage:
        wrong = "\n".join(stage.play("calm", "1 lie 0").wrong)
    assert "byte 0 is wrong" in wrong
