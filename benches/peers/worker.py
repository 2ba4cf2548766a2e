"""One side of one contestant: a process that idles until it is told to serve or to drive."""

import os
import traceback
from multiprocessing.connection import Connection
from typing import Any

from . import summary
from .contestants import load
from .dying import end_with_parent
from .meter import Call
from .placement import placed


def work(control: Connection, module: str, name: str) -> None:
    """Answer ("serve", workload) and ("drive", workload, address) until the parent hangs up."""
    # A group of its own, so that programs it has started end with it.
    os.setpgid(0, 0)
    end_with_parent()
    contestant = load(module, name)
    control.send(("started", None))
    while True:
        try:
            side, workload, *address = control.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            with placed(side, contestant, workload):
                call = Call()
                if side == "serve":
                    result = contestant.serve(workload, lambda at: control.send(("ready", at)))
                else:
                    result = contestant.drive(workload, *address)
                costs: dict[str, Any] = call.cost(workload.size)
            control.send(("done", summary.of(costs | result)))
        except Exception as error:
            reason = "".join(traceback.format_exception_only(error)).strip()
            control.send(("failed", reason))
            return
