"""What workers of a Dask cluster are asked to do: its functions are named, not sent."""

from distributed import Worker

from ..pattern import Bytes, fill, landing, matches, number_in


def make(nbytes: int, number: int) -> Bytes:
    """An array whose every page has been written."""
    array = landing(nbytes)
    fill(array, number)
    return array


def arrived(array: Bytes, nbytes: int, number: int) -> bool:
    """Whether it looks as it should, at the least cost: `equals` looks at every byte."""
    return array.nbytes == nbytes and number_in(array) == number


def equals(array: Bytes, nbytes: int, number: int) -> bool:
    return array.nbytes == nbytes and matches(array, number)


def unchanged(value: int) -> int:
    """The task that does nothing."""
    return value


def held(dask_worker: Worker) -> int:
    """How many results are in its memory."""
    return len(dask_worker.data)


def last_transfer(dask_worker: Worker) -> float:
    """Seconds, by the worker's own log, of the last one that it received."""
    return float(dask_worker.transfer_incoming_log[-1]["duration"])


def carrier(sender: str, dask_worker: Worker) -> str | None:
    """By what arrays come from `sender`, of a connection that says so."""
    idle = dask_worker.rpc.available.get(sender, ())
    channels = (getattr(comm, "_channel", None) for comm in idle)
    known = {str(channel.transport) for channel in channels if channel is not None}
    return " and ".join(sorted(known)) or None
