"""Send a DataFrame to another process, and take back what it makes of it.

Objects travel as pickles, which can run any code when they are loaded: only between processes
that trust each other. The arrays of the columns go beside the pickle, without a copy.

python examples/dataframe.py
"""

import multiprocessing

import numpy as np
import pandas as pd

from pinwire import blocking

ROWS = 500_000


def make_frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "when": pd.date_range("2026-01-01", periods=ROWS, freq="s"),
            "sensor": pd.Categorical.from_codes(rng.integers(0, 3, ROWS), ["a", "b", "c"]),
            "value": rng.random(ROWS),
        }
    )


def summarize(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby("sensor", observed=True)["value"].agg(["count", "mean", "max"])


def work(address: str) -> None:
    """The other process."""
    with blocking.connect_channel(address, allow_pickle=True, timeout=20) as channel:
        frame = channel.recv_object(timeout=20)
        channel.send_object(summarize(frame))


def main() -> None:
    frame = make_frame()
    with blocking.listen("tcp://127.0.0.1:0") as listener:
        other = multiprocessing.get_context("spawn").Process(target=work, args=(listener.address,))
        other.start()
        stream = listener.accept(timeout=20)
    with blocking.Channel(stream, allow_pickle=True) as channel:
        channel.send_object(frame)
        summary = channel.recv_object(timeout=20)
        sent = channel.stats().bytes_sent
    other.join()
    pd.testing.assert_frame_equal(summary, summarize(frame))
    print(f"{ROWS:,} rows, {sent:,} bytes; the summary of the other process is right")
    print(summary)


if __name__ == "__main__":
    main()
