"""The two sides of a DataFrame that is sent as an object: for contestants that know objects."""

import pickle
import time
from collections.abc import Awaitable
from typing import Any, Protocol

import numpy as np

from ..contestant import Result, Workload, fill, landing, matches, measured

COLUMNS = 10
GO, ACK = "go", "ack"


class ObjectWire(Protocol):
    def send_object(self, value: Any, /) -> Awaitable[object]: ...
    def recv_object(self) -> Awaitable[Any]: ...


class BlockingObjectWire(Protocol):
    def send_object(self, value: Any, /) -> object: ...
    def recv_object(self) -> Any: ...
    def close(self) -> object: ...


async def serve(wire: ObjectWire, workload: Workload) -> Result:
    _warm_up()
    verified = True
    with measured(workload.size):
        for number in range(workload.count):
            await wire.send_object(GO)
            frame = await wire.recv_object()
            await wire.send_object(ACK)
            verified &= _holds(frame, number, workload)
            # Not two of them in memory at once.
            del frame
    return {"verified": verified}


async def drive(wire: ObjectWire, workload: Workload) -> Result:
    _warm_up()
    memory, seconds = landing(workload.size), []
    frame = _frame(memory)
    with measured():
        for number in range(workload.count):
            fill(memory, number)
            await wire.recv_object()
            began = time.perf_counter()
            await wire.send_object(frame)
            await wire.recv_object()
            seconds.append(time.perf_counter() - began)
    return {"seconds": seconds}


def serve_blocking(wire: BlockingObjectWire, workload: Workload) -> Result:
    _warm_up()
    verified = True
    with measured(workload.size):
        for number in range(workload.count):
            wire.send_object(GO)
            frame = wire.recv_object()
            wire.send_object(ACK)
            verified &= _holds(frame, number, workload)
            del frame
    return {"verified": verified}


def drive_blocking(wire: BlockingObjectWire, workload: Workload) -> Result:
    _warm_up()
    memory, seconds = landing(workload.size), []
    frame = _frame(memory)
    with measured():
        for number in range(workload.count):
            fill(memory, number)
            wire.recv_object()
            began = time.perf_counter()
            wire.send_object(frame)
            wire.recv_object()
            seconds.append(time.perf_counter() - began)
    return {"seconds": seconds}


def _frame(memory: Any) -> Any:
    """Columns of float64 over `memory`, one after another as pandas keeps them."""
    # Only a process that gets here needs it, and it takes half a second.
    import pandas

    columns = memory.view(np.float64).reshape(COLUMNS, -1)
    return pandas.DataFrame(columns.T, copy=False)


def _holds(frame: Any, number: int, workload: Workload) -> bool:
    values = frame.to_numpy(copy=False).T
    whole = values.dtype == np.float64 and values.nbytes == workload.size
    return whole and len(values) == COLUMNS and matches(values, number)


def _warm_up() -> None:
    """What pickling imports when it is first used is not timed."""
    pickle.loads(pickle.dumps(_frame(landing(COLUMNS * 8)), protocol=5))
