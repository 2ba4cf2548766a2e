"""Look for leaks at the end of each Python, while the interpreter still knows what it has.

What CPython leaves behind when it ends would hide ours: what it still holds here is no leak.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import sys
from pathlib import Path

PR_GET_DUMPABLE = 3

_untracked: list[int] = []


def _is_ours(thing: object) -> bool:
    return any(str(base.__module__).startswith("pinwire") for base in type(thing).__mro__)


def _untrack_ours() -> None:
    """Take our objects off the collector's list, which refers to each of them.

    One that nothing else refers to is lost memory then, to LeakSanitizer, too.
    """
    for thing in filter(_is_ours, gc.get_objects()):
        _untracked.append(~id(thing))  # not its address: that would refer to it
        ctypes.pythonapi.PyObject_GC_UnTrack(ctypes.py_object(thing))


def _track_again() -> None:
    while _untracked:
        ctypes.pythonapi.PyObject_GC_Track(ctypes.c_void_p(~_untracked.pop()))


def _count_this() -> None:
    if log := os.environ.get("FINDINGS"):
        with contextlib.suppress(PermissionError), Path(f"{log}.looked").open("a") as file:
            file.write(f"{os.getpid()}\n")


def _look() -> None:
    libc = ctypes.PyDLL(None)
    if libc.prctl(PR_GET_DUMPABLE) != 1:
        return  # a test has forbidden everybody to look at this process
    _count_this()
    for _ in range(3):  # what a collection runs may leave cycles behind
        gc.collect()
    # PyDLL keeps the GIL: no other thread may free what is untracked.
    sys.setswitchinterval(1000)
    _untrack_ours()
    libc.__lsan_do_leak_check()
    _track_again()


atexit.register(_look)
# In a forked child, what its parent's other threads had is nobody's.
os.register_at_fork(after_in_child=lambda: atexit.unregister(_look))
