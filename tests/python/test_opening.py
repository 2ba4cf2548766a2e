"""What `connect`, `listen` and the like return, when it is taken for what it opens."""

from __future__ import annotations

import gc
import re
import warnings

import pytest
from channels import address

import pinwire


async def handle(channel):
    pass


OPEN = {
    "pinwire.connect": lambda: pinwire.connect("tcp://127.0.0.1:1"),
    "pinwire.listen": lambda: pinwire.listen("tcp://127.0.0.1:0"),
    "pinwire.connect_channel": lambda: pinwire.connect_channel("tcp://127.0.0.1:1"),
    "pinwire.serve_channels": lambda: pinwire.serve_channels(handle, "tcp://127.0.0.1:0"),
}
CALLS = pytest.mark.parametrize("call", OPEN)


@CALLS
def test_opening_when_never_awaited_then_it_warns_once_as_a_coroutine_does(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        OPEN[call]()
        gc.collect()
    assert [(w.category, str(w.message)) for w in caught] == [
        (RuntimeWarning, f"{call} was never awaited")
    ]


@CALLS
def test_opening_when_used_as_what_it_opens_then_the_error_says_await_it(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opening = OPEN[call]()
        with pytest.raises(AttributeError, match=re.escape(f"{call}()")) as caught:
            opening.address  # noqa: B018 - that is the mistake
        assert "await it, or use it with `async with`" in str(caught.value)
        assert caught.value.name == "address"
        assert not hasattr(opening, "send_buffer")
        del opening, caught
        gc.collect()


def test_opening_when_awaited_or_entered_then_it_does_not_warn(run):
    async def main():
        listener = await pinwire.listen(address("unix"))
        async with listener, pinwire.connect(listener.address), await listener.accept():
            pass
        async with (
            pinwire.serve_channels(handle, address("unix")) as server,
            pinwire.connect_channel(server.address),
        ):
            pass
        with pytest.raises(ConnectionRefusedError):
            await pinwire.connect("unix:@pinwire-nobody-listens")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())
        gc.collect()
