"""iceoryx2: samples in shared memory, here filled from one array and emptied into another.

Its loans are zero-copy for those who make their data in its memory; an array that lies anywhere has
to be copied in, and out again into the array it is wanted in.
"""

import ctypes
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import iceoryx2 as iox
import numpy as np

from ..contestant import Contestant, Workload
from .blocking import BlockingContestant
from .kit import Buffer

TO_SERVER, TO_CLIENT = "to-server", "to-client"
SIGN_BYTES = 1


class SampleWire:
    """A publisher this way and a subscriber that way; events say that there is something."""

    def __init__(self, name: str, outward: str, inward: str, largest: int) -> None:
        iox.set_log_level(iox.LogLevel.Error)
        node = iox.NodeBuilder.new().create(iox.ServiceType.Ipc)
        there, back = _service(node, f"{name}/{outward}"), _service(node, f"{name}/{inward}")
        self._publisher = there.publisher_builder().initial_max_slice_len(largest).create()
        self._subscriber = back.subscriber_builder().create()
        self._notifier = _event(node, f"{name}/{outward}").notifier_builder().create()
        self._listener = _event(node, f"{name}/{inward}").listener_builder().create()

    def send(self, buffer: Buffer) -> None:
        array = np.frombuffer(buffer, np.uint8)
        sample = self._publisher.loan_slice_uninit(array.nbytes)
        ctypes.memmove(sample.payload_ptr, array.ctypes.data, array.nbytes)
        sample.assume_init().send()
        self._notifier.notify()

    def recv(self, buffer: Buffer) -> None:
        array = np.frombuffer(buffer, np.uint8)
        while (sample := self._subscriber.receive()) is None:
            self._listener.blocking_wait()
        ctypes.memmove(array.ctypes.data, sample.payload_ptr, array.nbytes)
        sample.delete()

    def greet(self) -> None:
        """Say that this end is there: a sample reaches those who are."""
        self._notifier.notify()

    def await_greeting(self) -> None:
        self._listener.blocking_wait()

    def close(self) -> None:
        for port in (self._publisher, self._subscriber, self._notifier, self._listener):
            port.delete()


class SampleOpener:
    @contextmanager
    def listen(self, workload: Workload) -> Iterator[tuple[str, Callable[[], SampleWire]]]:
        name = f"pinwire-bench/{uuid.uuid4().hex}"
        wire = SampleWire(name, TO_CLIENT, TO_SERVER, SIGN_BYTES)

        def accept() -> SampleWire:
            wire.await_greeting()
            return wire

        yield name, accept

    def connect(self, workload: Workload, address: str) -> SampleWire:
        wire = SampleWire(address, TO_SERVER, TO_CLIENT, workload.size)
        wire.greet()
        return wire


def _service(node: Any, name: str) -> Any:
    builder = node.service_builder(iox.ServiceName.new(name))
    pairs = builder.publish_subscribe(iox.Slice[ctypes.c_uint8]).max_publishers(1)
    # Nothing is lost, and no memory is held for more than one sample on its way.
    calm = pairs.enable_safe_overflow(False).subscriber_max_buffer_size(1)
    return calm.max_subscribers(1).open_or_create()


def _event(node: Any, name: str) -> Any:
    return node.service_builder(iox.ServiceName.new(name)).event().open_or_create()


CONTESTANTS: tuple[Contestant, ...] = (
    BlockingContestant(
        "iceoryx2",
        "publish and subscribe of slices of uint8, events to wake; the array copied into a loaned"
        " sample, the sample copied out into the destination",
        SampleOpener(),
        frozenset({"same-host"}),
        family="messages",
    ),
)
