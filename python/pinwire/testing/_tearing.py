"""What becomes of a stream whose send was interrupted; cancelling and timeouts share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._outcome import ClauseError, expect_bytes, expect_equal

if TYPE_CHECKING:
    from ._flight import Flight
    from ._pair import Pair


def how_far(flight: Flight, error: BaseException) -> int:
    """What an interrupted transfer says it has moved: by its exception or its own attribute."""
    count = getattr(error, "transferred", None)
    if count is None:
        count = flight.transferred
    if not isinstance(count, int):
        raise ClauseError("neither the exception nor the transfer has `transferred`")
    return count


async def expect_torn(pair: Pair, flight: Flight, error: BaseException) -> None:
    """Expect what is left after `pair.payload` was sent in part."""
    client, server = pair
    sent = how_far(flight, error)
    if not 0 < sent < len(pair.payload):
        raise ClauseError(f"it says that {sent} of {len(pair.payload)} bytes moved")
    torn = await client.start("send_buffer", b"more").failure(pair.errors.torn)
    expect_equal(getattr(torn, "transferred", sent), sent, "what the refusal says was sent")
    await server.say(b"answer")
    expect_bytes(await client.read(6), b"answer", "received by the torn end")
    await client.call("close")
    expect_bytes(await server.read(len(pair.payload)), pair.payload[:sent], "delivered")


async def expect_whole(pair: Pair, before: int) -> None:
    """Expect that nothing but so many bytes has been sent, and that sending goes on."""
    client, server = pair
    expect_bytes(await server.read(before), bytes(before), "what was sent before")
    await client.say(b"later")
    expect_bytes(await server.read(5), b"later", "sent afterwards")
