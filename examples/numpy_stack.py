"""Send a stack of arrays of different kinds, views included, as one transfer.

python examples/numpy_stack.py
"""

import asyncio

import numpy as np

import pinwire


def make_stack() -> list[np.ndarray]:
    volume = np.random.default_rng(1).random((64, 128, 128), dtype=np.float32)
    return [
        volume,
        volume[::2],  # every second plane: long runs, sent where they lie
        volume.T,  # transposed: short runs, packed through a block of 256 KiB
        np.arange("2026-01", "2027-01", dtype="datetime64[D]"),
        np.zeros(1000, dtype=[("id", "<u4"), ("score", "<f8")]),
    ]


async def main() -> None:
    stack = make_stack()
    landed = [np.empty(array.shape, array.dtype) for array in stack]
    sender, receiver = pinwire.socketpair()
    async with sender, receiver, asyncio.TaskGroup() as tasks:
        transfer = sender.send_buffers(stack)
        tasks.create_task(transfer)
        tasks.create_task(receiver.recv_buffers_into(landed))
        while not transfer.done():
            print(f"\r{transfer.transferred:>12,} of {transfer.nbytes:,} bytes", end="")
            await asyncio.sleep(0.01)
    print(f"\r{transfer.transferred:>12,} of {transfer.nbytes:,} bytes")
    equal = all(np.array_equal(a, b) for a, b in zip(stack, landed, strict=True))
    print(f"{len(stack)} arrays, equal: {equal}; packed: {sender.stats().packed_bytes:,} bytes")


if __name__ == "__main__":
    asyncio.run(main())
