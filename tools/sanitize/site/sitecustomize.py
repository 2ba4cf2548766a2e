"""Look for leaks at the end of each Python, while the interpreter still knows what it has.

What CPython leaves behind when it ends would hide ours: what it still holds here is no leak.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import resource
from collections import deque
from functools import partial
from itertools import chain, compress, repeat
from operator import call, invert
from pathlib import Path

PR_GET_DUMPABLE = 3


class _Zeros(ctypes.Structure):
    """As an argument they are written over what earlier calls have left on the stack."""

    _fields_ = (("bytes", ctypes.c_char * 65536),)


def _ours() -> tuple[type, ...]:
    """The classes of pinwire; not those whose metaclass would run code to say what is of them."""
    found = [object]
    for each in found:
        found += type.__subclasses__(each)
    plain = {it for it in found if type(it) is type}
    return tuple(it for it in plain if str(it.__module__).startswith("pinwire"))


def _find_leaks(libc: ctypes.PyDLL) -> None:
    """Have LeakSanitizer look, while no object of ours is on the collector's list.

    That list refers to each of them: one that nothing else refers to is lost only without it.
    Between two bytecodes other threads may run, and free what is untracked. So all of this is one
    call, of functions in C that keep the GIL.
    """
    python, done = ctypes.pythonapi, deque[object](maxlen=0)
    all_objects: list[object] = []
    ours: list[object] = []
    hidden: list[int] = []  # not their addresses: those would refer to them
    is_ours = map(issubclass, map(type, all_objects), repeat(_ours()))
    steps = [
        *repeat(gc.collect, 3),  # what a collection runs may leave cycles behind
        partial(all_objects.extend, chain.from_iterable(map(call, [gc.get_objects]))),
        partial(ours.extend, compress(all_objects, is_ours)),
        partial(hidden.extend, map(invert, map(id, ours))),
        partial(done.extend, map(python.PyObject_GC_UnTrack, map(ctypes.py_object, ours))),
        all_objects.clear,
        ours.clear,
        partial(libc.getppid, _Zeros()),
        libc.__lsan_do_leak_check,
        partial(
            done.extend,
            map(python.PyObject_GC_Track, map(ctypes.c_void_p, map(invert, hidden))),
        ),
    ]
    done.extend(map(call, steps))


def _count_this() -> None:
    if log := os.environ.get("FINDINGS"):
        with contextlib.suppress(PermissionError), Path(f"{log}.looked").open("a") as file:
            file.write(f"{os.getpid()}\n")


def _look() -> None:
    libc = ctypes.PyDLL(None)
    if libc.prctl(PR_GET_DUMPABLE) != 1:
        return  # a test has forbidden everybody to look at this process
    # A test may have left none, and it takes some to look and to name what was found.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _count_this()
    _find_leaks(libc)


atexit.register(_look)
# In a forked child, what its parent's other threads had is nobody's.
os.register_at_fork(after_in_child=lambda: atexit.unregister(_look))
