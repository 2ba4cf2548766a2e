"""What Dask's clusters are to gain by pinwire, beside the TCP that they have."""

from collections.abc import Iterator

from . import results as read
from .results import Results
from .row import Row

OURS, THEIRS = "pinwire://", "tcp://"
LARGE = {"200M": "200 MB", "1G": "1 GB"}


def rows(results: Results) -> Iterator[Row]:
    for part in (_transfers, _tasks, _memory):
        yield from part(results)


def _transfers(results: Results) -> Iterator[Row]:
    for label, words in LARGE.items():
        entry = read.find(results, f"dask-{label}", "tcp")
        for metric, what in (
            (read.message_seconds, "a task that needs it"),
            (read.transfer_seconds, "by the worker's log"),
        ):
            speed = read.ratios(entry, THEIRS, OURS, metric)
            text = f"{words} between Dask's workers, {what}: {OURS}'s speed / {THEIRS}'s"
            yield Row(text, 2.0, False, speed)


def _tasks(results: Results) -> Iterator[Row]:
    for name, words, metric in (
        ("dask-8K", "task that needs 8 kB of another worker", read.latency),
        ("dask-8K-batch", "200 tasks that need 8 kB each", read.message_seconds),
        ("dask-tasks", "10,000 tasks that do nothing", read.message_seconds),
    ):
        ratio = read.ratios(read.find(results, name, "tcp"), OURS, THEIRS, metric)
        yield Row(f"Dask, {words}: {OURS}'s time / {THEIRS}'s", 1.05, True, ratio)


def _memory(results: Results) -> Iterator[Row]:
    for label, words in LARGE.items():
        entry = read.find(results, f"dask-{label}", "tcp")
        ratio = read.ratios(entry, OURS, THEIRS, read.worker_peak)
        text = f"peak memory of Dask's larger worker, {words} between them: {OURS} / {THEIRS}"
        yield Row(text, 1.0, True, ratio)
