"""memcpy(3) by NumPy, in one process: what any way that copies once could reach at best."""

import time
from collections.abc import Callable

import numpy as np

from ..contestant import Contestant, Result, Workload, fill, landing, matches, measured, poison


class Memcpy:
    name = "memcpy"
    family = "memory"
    settings = "np.copyto from one array to another in one process, one thread; nobody is told"

    def takes(self, workload: Workload) -> bool:
        return workload.kind == "same-host"

    def serve(self, workload: Workload, ready: Callable[[str], None]) -> Result:
        ready("")
        return {"verified": True}

    def drive(self, workload: Workload, address: str) -> Result:
        source, target = landing(workload.size), landing(workload.size)
        seconds, verified = [], True
        np.copyto(target, source)
        with measured():
            for number in workload.counted:
                fill(source, number)
                poison(target)
                began = time.perf_counter()
                np.copyto(target, source)
                seconds.append(time.perf_counter() - began)
                verified &= matches(target, number)
        return {"seconds": seconds, "verified": verified}


CONTESTANTS: tuple[Contestant, ...] = (Memcpy(),)
