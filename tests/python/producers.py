"""Objects that export memory by code of ours, and so in ways that may be odd or untrue."""

from __future__ import annotations

import ctypes
from typing import Any


class Counting:
    """A PEP 688 exporter (its `__buffer__` is looked at from Python 3.12 on)."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory
        self.gets = self.releases = 0

    def __buffer__(self, flags: int) -> memoryview:
        self.gets += 1
        return memoryview(self.memory)

    def __release_buffer__(self, view: memoryview) -> None:
        self.releases += 1
        view.release()


class PyBuffer(ctypes.Structure):
    """Py_buffer of the C API."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


def _pointer(values: Any) -> Any:
    if values is None or isinstance(values, bytes):
        return ctypes.create_string_buffer(values) if values is not None else None
    return (ctypes.c_ssize_t * len(values))(*values)


@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(PyBuffer), ctypes.c_int)
def _getbuffer(self: Raw, view: Any, flags: int) -> int:
    self.fill(view.contents)
    return 0


@ctypes.PYFUNCTYPE(None, ctypes.py_object, ctypes.POINTER(PyBuffer))
def _releasebuffer(self: Raw, view: Any) -> None:
    self.releases += 1


def _raw_base() -> type:
    """A type with the slots of the buffer protocol (PyType_FromSpec)."""

    class Slot(ctypes.Structure):
        _fields_ = (("slot", ctypes.c_int), ("function", ctypes.c_void_p))

    class Spec(ctypes.Structure):
        _fields_ = (
            ("name", ctypes.c_char_p),
            ("basicsize", ctypes.c_int),
            ("itemsize", ctypes.c_int),
            ("flags", ctypes.c_uint),
            ("slots", ctypes.POINTER(Slot)),
        )

    functions = [ctypes.cast(f, ctypes.c_void_p) for f in (_getbuffer, _releasebuffer)]
    # Py_bf_getbuffer, Py_bf_releasebuffer and the end of the list (typeslots.h).
    slots = (Slot * 3)(Slot(1, functions[0]), Slot(2, functions[1]), Slot(0, None))
    basetype = 1 << 10  # Py_TPFLAGS_BASETYPE
    spec = Spec(b"exporters.RawBase", object.__basicsize__, 0, basetype, slots)
    make = ctypes.pythonapi.PyType_FromSpec
    make.restype, make.argtypes = ctypes.py_object, [ctypes.POINTER(Spec)]
    return make(spec)


class Raw(_raw_base()):  # type: ignore[misc]
    """An exporter that fills the view with whatever it is told, true or not, on every Python."""

    def __init__(self, memory: bytearray, **told: Any) -> None:
        self.gets = self.releases = 0
        self._memory = (ctypes.c_char * len(memory)).from_buffer(memory)
        told = {"len": len(memory), "itemsize": 1, "readonly": 0, "ndim": 1} | told
        told = {"buf": ctypes.addressof(self._memory), "shape": (told["len"],)} | told
        pointers = ("format", "shape", "strides", "suboffsets")
        self._arrays = {name: _pointer(told.pop(name, None)) for name in pointers}
        self.owned = told.pop("owned", True)
        self._fields = told

    def content(self) -> bytes:
        return bytes(self._memory)

    def fill(self, view: PyBuffer) -> None:
        self.gets += 1
        for name, values in self._arrays.items():
            setattr(view, name, None if values is None else ctypes.addressof(values))
        for name, value in self._fields.items():
            setattr(view, name, value)
        view.internal = None
        view.obj = None
        if self.owned:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
            view.obj = id(self)


class Tensor:
    """A tensor of a library that knows DLPack 1.0."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device, self.exports = array, device, []

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        self.exports.append(max_version)
        return self.array.__dlpack__(max_version=max_version)


class LegacyTensor:
    """One that knows no arguments."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self):
        return self.array.__dlpack__()


class LegacyStreamTensor(LegacyTensor):
    """One from before `max_version`."""

    def __dlpack__(self, stream=None):
        assert stream is None
        return self.array.__dlpack__()


class Managed(ctypes.Structure):
    """DLManagedTensorVersioned, with its DLTensor laid flat (dlpack.h)."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Handmade:
    """A producer that says whatever it is told, true or not, and counts the deleter's calls."""

    def __init__(self, memory, **told):
        self.memory = (ctypes.c_char * len(memory)).from_buffer(memory)
        self.deleted = 0
        self.deleter = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(self._delete)
        told = {"major": 1, "device_type": 1, "ndim": 1, "bits": 8, "lanes": 1} | told
        told = {"shape": (len(memory),), "data": ctypes.addressof(self.memory)} | told
        told = {"deleter": ctypes.cast(self.deleter, ctypes.c_void_p), "code": 1} | told
        for name in ("shape", "strides"):
            if told.get(name) is not None:
                told[name] = (ctypes.c_int64 * len(told[name]))(*told[name])
        self.managed = Managed(**told)

    def _delete(self, managed):
        assert managed == ctypes.addressof(self.managed)
        self.deleted += 1

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, *, max_version):
        make = ctypes.pythonapi.PyCapsule_New
        make.restype = ctypes.py_object
        make.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return make(ctypes.addressof(self.managed), b"dltensor_versioned", None)
