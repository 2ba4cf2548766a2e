"""Objects as a pickle and its buffers, out of band (PEP 574)."""

from __future__ import annotations

import pickle

TYPE_CHECKING = False  # as in `pinwire`

if TYPE_CHECKING:
    from typing import Any

    from ._core import BaseChannel


def dump(channel: BaseChannel, obj: Any) -> list[bytes | memoryview]:
    """The pickle and, uncopied, the memory of every array in the object, if it may be sent."""
    channel._check_pickle()
    buffers: list[pickle.PickleBuffer] = []
    try:
        pickled = pickle.dumps(obj, protocol=5, buffer_callback=buffers.append)
    except (StopIteration, StopAsyncIteration) as error:
        raise RuntimeError(f"pickling raised {type(error).__name__}") from error
    return [pickled, *(buffer.raw() for buffer in buffers)]
