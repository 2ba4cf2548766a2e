"""A stream of your own, held to the contract of pinwire's: what of it does it not keep?

python examples/own_stream.py
"""

import asyncio
import socket

import pinwire.testing


class SockCalls:
    """asyncio's calls on sockets, by the names of `pinwire.Stream`."""

    def __init__(self, sock: socket.socket) -> None:
        self.close = sock.close
        self._sock = sock

    async def send_buffer(self, buffer) -> int:
        await asyncio.get_running_loop().sock_sendall(self._sock, buffer)
        return memoryview(buffer).nbytes

    async def recv_into(self, buffer, *, nbytes: int = 0) -> int:
        view = memoryview(buffer).cast("B")[: nbytes or None]
        return await asyncio.get_running_loop().sock_recv_into(self._sock, view)


def make_pair(send_buffer_size: int, recv_buffer_size: int) -> tuple[SockCalls, SockCalls]:
    """Two of them, connected, with buffers so small that every large transfer is cut."""
    pair = socket.socketpair()
    for sock in pair:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_size)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, recv_buffer_size)
    return SockCalls(pair[0]), SockCalls(pair[1])


async def main() -> None:
    # One part of the contract; without `skip` all of it.
    others = {check.name.partition(".")[0] for check in pinwire.testing.checks()} - {"bytes"}
    report = await pinwire.testing.check_streams(pinwire.socketpair, skip=others)
    print(f"pinwire.Stream: {len(report.passed)} checks passed")
    try:
        await pinwire.testing.check_streams(make_pair, skip=others, patience=0.5)
    except ExceptionGroup as group:
        print(f"SockCalls: {group.message}")
        for error in group.exceptions:
            print(f"- {error}: {error.__notes__[-1]}")


if __name__ == "__main__":
    asyncio.run(main())
