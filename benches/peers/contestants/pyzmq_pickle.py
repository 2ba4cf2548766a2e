"""Objects over pyzmq: pickle protocol 5, whose out-of-band buffers are frames of their own."""

import pickle
from typing import Any

from ..contestant import Contestant
from .blocking import BlockingContestant
from .pyzmq_opener import PairOpener, PairWire


class PickleWire(PairWire):
    def send_object(self, value: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        self._sock.send_multipart([head, *(buffer.raw() for buffer in buffers)], copy=False)

    def recv_object(self) -> Any:
        head, *frames = self._sock.recv_multipart(copy=False)
        return pickle.loads(head.buffer, buffers=[frame.buffer for frame in frames])


CONTESTANTS: tuple[Contestant, ...] = (
    BlockingContestant(
        "pyzmq pickle 5",
        "PAIR, HWM 0; pickle protocol 5 with buffer_callback, send_multipart(copy=False) of the"
        " pickle and its buffers; unpickled over the frames of recv_multipart(copy=False)",
        PairOpener(PickleWire),
        frozenset({"message-object"}),
        family="messages",
    ),
)
