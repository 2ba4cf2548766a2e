"""Workers push gradients, a server averages them and sends the weights back.

python examples/parameter_server.py
"""

import asyncio
import threading

import numpy as np

import pinwire
from pinwire import blocking

WORKERS, STEPS, RATE = 4, 100, 0.5
TRUTH = [np.linspace(-1, 1, 50), np.array([3.0])]  # what the workers' data were made with


def work(address: str, number: int) -> None:
    """Fit a line to data of its own, with the weights that all share."""
    rng = np.random.default_rng(number)
    x = rng.standard_normal((1000, 50))
    y = x @ TRUTH[0] + TRUTH[1]
    weights = [np.empty(50), np.empty(1)]
    with blocking.connect_channel(address, timeout=5) as channel:
        while True:
            step = channel.recv_into(weights).meta["step"]  # into the same memory each time
            if step == STEPS:
                return
            error = x @ weights[0] + weights[1] - y
            channel.send([x.T @ error / len(x), error.mean(keepdims=True)], meta={"step": step})


async def serve(listener: pinwire.Listener) -> list[np.ndarray]:
    """The weights after all steps."""
    weights = [np.zeros_like(array) for array in TRUTH]
    mean = [np.empty_like(array) for array in weights]
    gradients = [np.empty((WORKERS, *array.shape)) for array in weights]
    rows = [[array[i] for array in gradients] for i in range(WORKERS)]  # one worker's, as views
    channels = [pinwire.Channel(await listener.accept()) for _ in range(WORKERS)]
    for step in range(STEPS):
        await send(channels, weights, step)
        pushed = [channel.recv_into(row) for channel, row in zip(channels, rows, strict=True)]
        for message in await asyncio.gather(*pushed):
            assert message.meta == {"step": step}
        for weight, average, gradient in zip(weights, mean, gradients, strict=True):
            gradient.mean(axis=0, out=average)
            weight -= RATE * average
    await send(channels, weights, STEPS)
    for channel in channels:
        await channel.close()
    return weights


async def send(channels: list[pinwire.Channel], weights: list[np.ndarray], step: int) -> None:
    """To all workers at once."""
    await asyncio.gather(*(channel.send(weights, meta={"step": step}) for channel in channels))


async def main() -> None:
    async with pinwire.listen("tcp://127.0.0.1:0") as listener:
        workers = [
            threading.Thread(target=work, args=(listener.address, number), daemon=True)
            for number in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        weights = await serve(listener)
    for worker in workers:
        worker.join()
    found = all(map(np.allclose, weights, TRUTH))
    print(f"{STEPS} steps of {WORKERS} workers, weights found: {found}")


if __name__ == "__main__":
    asyncio.run(main())
