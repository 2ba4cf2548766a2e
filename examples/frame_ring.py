"""Receive camera frames into a ring of memory that was allocated once.

python examples/frame_ring.py
"""

import asyncio
import collections

import numpy as np

import pinwire

FRAMES, SLOTS, SHAPE = 60, 4, (480, 640, 3)


async def camera(address: str) -> None:
    """Send frames, each filled with its own number."""
    frame = np.empty(SHAPE, np.uint8)
    async with pinwire.connect(address) as stream:
        for number in range(FRAMES):
            frame.fill(number)
            await stream.send_buffer(frame)  # the frame may be reused as soon as this returns


async def receive(
    stream: pinwire.Stream, free: "asyncio.Queue[np.ndarray]", full: "asyncio.Queue[np.ndarray]"
) -> None:
    """Fill free slots; stop when the camera has gone between two frames."""
    while True:
        slot = await free.get()
        try:
            await stream.recv_exactly_into(slot)
        except pinwire.IncompleteTransferError as error:
            if error.transferred:
                raise
            break
        await full.put(slot)
    await full.put(np.empty(0))


async def main() -> None:
    ring = np.empty((SLOTS, *SHAPE), np.uint8)
    free: asyncio.Queue[np.ndarray] = asyncio.Queue()
    full: asyncio.Queue[np.ndarray] = asyncio.Queue()
    for slot in ring:
        free.put_nowait(slot)
    seen: collections.Counter[int] = collections.Counter()
    async with pinwire.listen("tcp://127.0.0.1:0") as listener, asyncio.TaskGroup() as tasks:
        tasks.create_task(camera(listener.address))
        async with await listener.accept() as stream:
            tasks.create_task(receive(stream, free, full))
            while (frame := await full.get()).size:
                seen[int(frame.max())] += 1  # here a real pipeline would look at it
                free.put_nowait(frame)
    print(f"{seen.total()} frames of {ring[0].nbytes:,} bytes through {SLOTS} slots")


if __name__ == "__main__":
    asyncio.run(main())
