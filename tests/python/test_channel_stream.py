"""The stream of a channel belongs to it: what is sent beside the messages would be in their way."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from channels import exchange
from support import waiting

import pinwire
import pinwire.blocking

CALLS = {
    "send_buffer": (b"abc",),
    "send_buffers": ([b"abc"],),
    "recv_into": (bytearray(3),),
    "recv_exactly_into": (bytearray(3),),
    "recv_buffers_into": ([bytearray(3)],),
}


@pytest.mark.parametrize("call", [*CALLS, "send_file"])
def test_stream_when_a_channel_has_it_then_its_transfers_are_refused(face, call, tmp_path):
    (tmp_path / "file").write_bytes(b"abc")

    async def main():
        async with face.pair() as (client, server):
            refused = pytest.raises(pinwire.BusyError, match="belongs to a channel")
            with (tmp_path / "file").open("rb") as file, refused:
                getattr(client.stream, call)(*CALLS.get(call, (file,)))
            message = await exchange(client, server, np.arange(3))
            assert message.parts[0].tolist() == [0, 1, 2]
            assert client.stream.getsockopt(1, 3) == 1  # SO_TYPE: what moves nothing goes on

    face.run(main())


@pytest.mark.parametrize("module", [pinwire, pinwire.blocking], ids=["asyncio", "blocking"])
def test_channel_when_the_stream_has_one_already_then_it_is_refused(module):
    one, two = module.socketpair()
    channel = module.Channel(one)
    with pytest.raises(pinwire.BusyError, match="belongs to another channel"):
        module.Channel(one)
    assert channel.stats().messages_sent == 0
    one.abort()
    two.abort()


def test_channel_when_a_transfer_is_in_flight_then_the_stream_is_not_taken_over(run):
    async def main():
        one, two = pinwire.socketpair()
        async with one, two:
            receiving = await waiting(one, one.recv_exactly_into(got := bytearray(3)))
            with pytest.raises(pinwire.BusyError, match="another receive is in flight"):
                pinwire.Channel(one)
            assert await asyncio.gather(two.send_buffer(b"abc"), receiving) == [3, 3]
            assert got == b"abc"
            pinwire.Channel(one)

    run(main())
