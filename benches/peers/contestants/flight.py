"""Arrow Flight: one DoPut stream of record batches, each acknowledged by its metadata channel."""

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import flight

from ..contestant import Contestant, Result, Workload, landing, measured
from ..pattern import fill_parts, parts_match

SCHEMA = pa.schema([pa.field("bytes", pa.uint8(), nullable=False)])
# Of 256 KiB to 256 MiB, this took the least CPU time; a message above it is several batches.
BATCH_BYTES = 16 * 2**20
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Flight:
    name = "Arrow Flight"
    family = "messages"
    settings = (
        "DoPut of record batches of up to 16 MiB with one uint8 column over the caller's memory,"
        " gRPC message sizes unlimited, no compression; lands in memory that Arrow allocates"
    )

    def takes(self, workload: Workload) -> bool:
        # gRPC offers no kernel buffer sizes.
        return workload.kind == "bulk" and workload.sockbuf is None

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            if workload.transport == "unix":
                location = flight.Location.for_grpc_unix(str(Path(folder) / "flight"))
            else:
                location = flight.Location.for_grpc_tcp("127.0.0.1", 0)
            with _Server(location, workload.size) as server:
                # The port is chosen by then; a unix location is where it was asked to be.
                unix = workload.transport == "unix"
                ready(location.uri.decode() if unix else f"grpc+tcp://127.0.0.1:{server.port}")
                server.done.wait()
            return {"verified": server.verified}

    def drive(self, workload: Workload, address: str) -> Result:
        source, seconds = landing(workload.size), []
        parts = [source[at : at + BATCH_BYTES] for at in range(0, workload.size, BATCH_BYTES)]
        batches = [_batch(part) for part in parts]
        with flight.FlightClient(address, generic_options=UNLIMITED) as client:
            writer, reader = client.do_put(flight.FlightDescriptor.for_path("bulk"), SCHEMA)
            with writer, measured():
                for number in range(workload.count):
                    fill_parts(parts, number)
                    reader.read()
                    start = time.perf_counter()
                    for batch in batches:
                        writer.write_batch(batch)
                    reader.read()
                    seconds.append(time.perf_counter() - start)
                writer.done_writing()
        return {"seconds": seconds}


def _batch(memory: Any) -> pa.RecordBatch:
    column = pa.Array.from_buffers(pa.uint8(), memory.size, [None, pa.py_buffer(memory)])
    return pa.record_batch([column], schema=SCHEMA)


class _Server(flight.FlightServerBase):
    def __init__(self, location: flight.Location, size: int) -> None:
        super().__init__(location)
        self.size = size
        self.done = threading.Event()
        self.verified = True

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        try:
            writer.write(b"go")
            number, landed = 0, []
            for chunk in reader:
                landed.append(chunk.data.column(0).to_numpy())
                del chunk
                if sum(map(len, landed)) < self.size:
                    continue
                writer.write(b"ack")
                self.verified &= parts_match(landed, number)
                # Not two messages in memory at once.
                number, landed = number + 1, []
                writer.write(b"go")
        finally:
            self.done.set()


CONTESTANTS: tuple[Contestant, ...] = (Flight(),)
