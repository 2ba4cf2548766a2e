"""A server and a client in one event loop: arrays go there and come back.

python examples/async_echo.py
"""

import asyncio

import numpy as np

import pinwire


async def serve(listener: pinwire.Listener) -> None:
    """Send back whatever comes, a connection at a time to each task."""
    async with asyncio.TaskGroup() as connections:
        async for stream in listener:  # ends when the listener is closed
            connections.create_task(echo(stream))


async def echo(stream: pinwire.Stream) -> None:
    scratch = bytearray(64 * 1024)
    async with stream:
        while n := await stream.recv_into(scratch):
            await stream.send_buffer(memoryview(scratch)[:n])


async def main() -> None:
    sent = np.random.default_rng(1).random((512, 512))
    received = np.empty_like(sent)
    async with pinwire.listen("tcp://127.0.0.1:0") as listener:
        server = asyncio.create_task(serve(listener))
        async with pinwire.connect(listener.address) as stream:
            await asyncio.gather(stream.send_buffer(sent), stream.recv_exactly_into(received))
        await listener.close()
        await server
    print(f"{sent.nbytes:,} bytes there and back, equal: {np.array_equal(sent, received)}")


if __name__ == "__main__":
    asyncio.run(main())
