"""Objects as a pickle and its buffers, out of band (PEP 574)."""

from __future__ import annotations

import pickle

from .errors import MessageRefusedError

TYPE_CHECKING = False  # as in `pinwire`

if TYPE_CHECKING:
    from typing import Any


def dump(obj: Any, *, allowed: bool) -> list[bytes | memoryview]:
    """The pickle and, uncopied, the memory of every array in the object."""
    if not allowed:
        raise MessageRefusedError(
            "objects travel as pickles, which can run any code when they are loaded: open the "
            "channel with allow_pickle=True, at both ends, if you trust the peer"
        )
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(obj, protocol=5, buffer_callback=buffers.append)
    return [pickled, *(buffer.raw() for buffer in buffers)]
