"""Threads instead of an event loop: workers send results, the main thread collects them.

python examples/blocking_threads.py
"""

import struct
import threading

import numpy as np

from pinwire import blocking

WORKERS = 4
HEADER = struct.Struct("<I")


def work(address: str, number: int) -> None:
    """Compute something and send it with a small header: one write, nothing joined."""
    result = np.full(100_000, float(number))
    with blocking.connect(address, timeout=5) as stream:
        stream.send_buffers([HEADER.pack(number), result])


def main() -> None:
    results = np.empty((WORKERS, 100_000))
    with blocking.listen("tcp://127.0.0.1:0") as listener:
        threads = [
            threading.Thread(target=work, args=(listener.address, number))
            for number in range(WORKERS)
        ]
        for thread in threads:
            thread.start()
        header = bytearray(HEADER.size)
        for _ in range(WORKERS):
            with listener.accept(timeout=5) as stream:
                stream.recv_exactly_into(header)
                (number,) = HEADER.unpack(header)
                stream.recv_exactly_into(results[number])  # straight into its row
        for thread in threads:
            thread.join()
    print(f"rows collected: {results.mean(axis=1)}")


if __name__ == "__main__":
    main()
