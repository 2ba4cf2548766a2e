"""`pinwire bench` measures to a peer, and prints what it measured."""

from __future__ import annotations

import asyncio
import re
import signal

import pytest
from cli_support import listening
from support import finish

import pinwire
from pinwire._cli import bench, bench_peer, main
from pinwire._cli.bench import Row, table
from pinwire._cli.errors import PeerError
from pinwire._cli.wire import VERSION, hear, say


def test_table_when_printed_then_it_has_medians_minima_and_speeds():
    rows = [
        Row("round trip", 64, [3e-6, 1e-6, 2e-6]),
        Row("to the peer", 1 << 20, [1e-3, 2e-3, 3e-3]),
    ]
    assert table(rows).splitlines() == [
        "                 bytes  median us   min us  median GB/s  best GB/s",
        "round trip          64        2.0      1.0",
        "to the peer  1,048,576    2,000.0  1,000.0         0.52       1.05",
    ]


def test_bench_when_run_then_every_line_is_there(monkeypatch, capsys):
    monkeypatch.setattr(bench, "SIZES", (1 << 10, 1 << 20))

    async def main():
        async with pinwire.serve_channels(bench_peer.serve_one, "tcp://127.0.0.1:0") as server:
            assert await bench.measure(server.address, 0.001)

    asyncio.run(main())
    lines = capsys.readouterr().out.splitlines()
    starts = ["", "round trip", *["to the peer"] * 2, *["from the peer"] * 2, ""]
    assert [re.split("  +", line)[0] for line in lines[:7]] == starts
    assert lines[7].startswith("same-host to tcp://127.0.0.1:")
    assert f"pinwire {pinwire.__version__}" in lines[8]
    assert lines[8].removeprefix("here:  ") == lines[9].removeprefix("there: ")


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "echo", "size": bench_peer.LARGEST + 1, "count": 1},
        {"op": "echo", "size": 1, "count": bench_peer.MOST + 1},
        {"op": "sink", "size": -1, "count": 1},
        {"op": "all", "size": 1, "count": 1},
    ],
    ids=str,
)
def test_bench_when_too_much_is_asked_of_it_then_it_refuses(request_):
    async def main():
        caught = asyncio.get_running_loop().create_future()

        async def handle(channel):
            try:
                await bench_peer.serve_one(channel)
            except Exception as error:
                caught.set_result(error)

        async with (
            pinwire.serve_channels(handle, "tcp://127.0.0.1:0") as server,
            pinwire.connect_channel(server.address) as channel,
        ):
            await say(channel, "bench", version=VERSION)
            await hear(channel, "peer")
            await say(channel, **request_)
            return await caught

    assert str(asyncio.run(main())).startswith("the peer")


def test_bench_when_served_then_one_peer_after_the_other_is_measured(tmp_path):
    serving, address = listening("bench", "--serve", f"unix://{tmp_path}/s")

    async def asks():
        async with pinwire.connect_channel(address) as channel:
            await say(channel, "bench", version=VERSION)
            await hear(channel, "peer")

    asyncio.run(asks())  # and goes without a word
    asyncio.run(asks())
    serving.send_signal(signal.SIGINT)
    code, _, errors = finish(serving)
    assert code == 130
    assert "Traceback" not in errors


def test_bench_when_nobody_is_there_then_it_is_one_line(tmp_path, capsys):
    assert main(["bench", f"unix://{tmp_path}/none"]) == 1
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("pinwire: No such file or directory")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("request_", [None, {"op": "echo", "size": 8, "count": 1}])
def test_bench_when_the_peer_is_silent_then_it_is_left(monkeypatch, request_):
    """The others wait for their turn."""
    monkeypatch.setattr(bench_peer, "PATIENCE", 0.05)

    async def main():
        served = asyncio.get_running_loop().create_future()

        async def handle(channel):
            try:
                await bench_peer.serve_one(channel)
            except (PeerError, pinwire.TransferTimeoutError) as error:
                served.set_result(error)

        async with (
            pinwire.serve_channels(handle, "tcp://127.0.0.1:0") as server,
            pinwire.connect_channel(server.address) as channel,
        ):
            if request_ is not None:
                await say(channel, "bench", version=VERSION)
                await hear(channel, "peer")
                await say(channel, **request_)
            await served

    asyncio.run(main())
