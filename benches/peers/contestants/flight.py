"""Arrow Flight: one DoPut stream of record batches, each acknowledged by its metadata channel."""

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import flight

from ..contestant import Contestant, Result, Workload, fill, matches

import os
CHUNK = int(os.environ.get("CHUNK",1<<20))
SCHEMA = pa.schema([pa.field("bytes", pa.uint8(), nullable=False)])
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class Flight:
    name = "Arrow Flight"
    family = "messages"
    settings = (
        "DoPut of record batches with one uint8 column over the caller's memory, gRPC message"
        " sizes unlimited, no compression, no TLS; lands in memory of Arrow's pool"
    )

    def takes(self, workload: Workload) -> bool:
        # gRPC offers no kernel buffer sizes, and one message cannot pass 2 GiB.
        return (
            workload.kind == "bulk" and workload.sockbuf is None and workload.size < 2**31 - 2**20
        )

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
        source, seconds = np.empty(workload.size, np.uint8), []
        column = pa.Array.from_buffers(pa.uint8(), source.size, [None, pa.py_buffer(source)])
        whole = pa.record_batch([column], schema=SCHEMA)
        batches = [whole.slice(at, CHUNK) for at in range(0, workload.size, CHUNK)]
        with flight.FlightClient(address, generic_options=UNLIMITED) as client:
            writer, reader = client.do_put(flight.FlightDescriptor.for_path("bulk"), SCHEMA)
            with writer:
                for number in range(workload.count):
                    fill(source, number)
                    reader.read()
                    start = time.perf_counter()
                    for batch in batches:
                        writer.write_batch(batch)
                    reader.read()
                    seconds.append(time.perf_counter() - start)
                writer.done_writing()
        return {"seconds": seconds}


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
                landed.append(chunk.data.column(0))
                if sum(map(len, landed)) < self.size:
                    continue
                writer.write(b"ack")
                self.verified &= matches(pa.concat_arrays(landed).to_numpy(), number)
                # Not two messages in memory at once.
                number, landed = number + 1, []
                writer.write(b"go")
        finally:
            self.done.set()


CONTESTANTS: tuple[Contestant, ...] = (Flight(),)
