"""The protocol of `pinwire send` and `recv`: any meta is a message of it, or the peer is wrong."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import PATIENCE

import pinwire
from pinwire._cli import wire
from pinwire._cli.errors import PeerError, RefusedByPeerError, RefusedError
from pinwire._cli.names import NAME_MAX, SUFFIX, part_name, safe_name

examples = settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[*HealthCheck],
)

KEYS = ["op", "why", "offset", "size", "name", "version", "sha256"]
OPS = ["wait", "offer", "have", "prefix", "go", "piece", "got", "end", "done", "refuse", "bye"]
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(),
    st.text(max_size=200),
    st.binary(max_size=40),
    st.sampled_from(OPS),
    st.lists(st.integers(0, 9), max_size=3),
)
metas = st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), values, max_size=6)


def is_wrong(error: PeerError | RefusedByPeerError) -> None:
    """What is said of a peer fits on a line, and no terminal obeys it."""
    text = str(error)
    assert text.isprintable()
    assert len(text) < 300


@examples
@given(metas, st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_meta_when_it_is_any_map_then_what_is_taken_is_in_bounds(meta, offset, size, nbytes):
    header: Any = SimpleNamespace(meta=meta, nbytes=nbytes, kind="arrays", parts=[None])
    try:
        count = wire.check_piece(header, offset, size)
    except (PeerError, RefusedByPeerError) as error:
        is_wrong(error)
    else:
        assert (meta["op"], meta["offset"]) == ("piece", offset)
        assert count == nbytes == min(wire.PIECE, size - offset)
    for key in KEYS:
        try:
            value = wire.integer(meta, key, 99)
        except PeerError as error:
            is_wrong(error)
        else:
            assert value == meta[key]
            assert 0 <= value <= 99
    try:
        wire.check_version(meta)
    except PeerError as error:
        is_wrong(error)
    else:
        assert meta["version"] == wire.VERSION


@examples
@given(st.binary(max_size=300))
def test_name_when_it_is_any_bytes_then_it_is_that_of_a_file_in_the_folder(raw):
    try:
        name = safe_name(raw)
    except RefusedError as error:
        assert str(error).isprintable()
        return
    assert name not in ("", ".", "..")
    assert not {"/", "\0"} & {*name}
    assert not name.startswith((".", "-"))
    assert not name.endswith(SUFFIX)
    assert len(part_name(name, bytes(32)).encode("utf-8", "surrogateescape")) <= NAME_MAX


@settings(examples, max_examples=40)
@given(st.lists(st.tuples(metas, st.binary(max_size=3)), min_size=1, max_size=6))
def test_hear_when_the_peer_says_anything_then_it_is_the_next_message_or_the_peer_is_wrong(said):
    async def main() -> None:
        mine, theirs = (pinwire.Channel(it, same_host="off") for it in pinwire.socketpair())
        async with asyncio.timeout(PATIENCE), mine, theirs:
            for meta, payload in said:
                await theirs.send(payload, meta=meta)
                try:
                    heard = await wire.hear(mine, "have", "go")
                except (PeerError, RefusedByPeerError) as error:
                    is_wrong(error)
                    if payload:  # who is wrong about this loses the connection
                        return
                else:
                    assert heard["op"] in ("have", "go")
                    assert not payload

    asyncio.run(main())
