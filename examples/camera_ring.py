"""Receive camera frames, with their number and time, into a ring that was allocated once.

python examples/camera_ring.py
"""

import asyncio
import statistics
import time

import numpy as np

import pinwire

FRAMES, SLOTS, SHAPE = 60, 4, (480, 640, 3)


async def camera(address: str) -> None:
    """Send frames, each filled with its own number."""
    frame = np.empty(SHAPE, np.uint8)
    async with pinwire.connect_channel(address) as channel:
        for number in range(FRAMES):
            frame.fill(number)
            # The frame may be filled again as soon as this returns.
            await channel.send(frame, meta={"number": number, "taken": time.time()})


async def receive(channel: pinwire.Channel, free: asyncio.Queue, full: asyncio.Queue) -> None:
    """Fill free slots until the camera has ended the channel."""
    while True:
        slot = await free.get()
        try:
            message = await channel.recv_into(slot)  # checks dtype and shape before it writes
        except pinwire.IncompleteTransferError as error:
            if error.transferred:
                raise
            break
        await full.put(message)  # its part is the slot itself
    await full.put(None)


async def main() -> None:
    ring = np.empty((SLOTS, *SHAPE), np.uint8)
    free, full = asyncio.Queue(), asyncio.Queue()
    for slot in ring:
        free.put_nowait(slot)
    numbers, ages = [], []
    async with pinwire.listen("tcp://127.0.0.1:0") as listener, asyncio.TaskGroup() as tasks:
        tasks.create_task(camera(listener.address))
        async with pinwire.Channel(await listener.accept()) as channel:
            tasks.create_task(receive(channel, free, full))
            while message := await full.get():
                (frame,) = message.parts  # here a real pipeline would look at it
                if frame.min() == frame.max() == message.meta["number"]:
                    numbers.append(message.meta["number"])
                ages.append(time.time() - message.meta["taken"])
                free.put_nowait(frame)
    print(f"{FRAMES} frames through {SLOTS} slots, in order: {numbers == [*range(FRAMES)]}")
    print(f"their age when they were looked at: {statistics.median(ages) * 1000:.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
