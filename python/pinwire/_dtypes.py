"""NumPy's types of items as text, and back; called by the core for those it does not know.

A type is written as NumPy's array interface writes it ("<f8", "<M8[ns]"), by its name if it is
one of ml_dtypes ("bfloat16"), and a structure as the JSON of what `numpy.dtype` takes.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from typing import Any, cast

from .errors import MessageRefusedError

_PLAIN = re.compile(r"[<>|]?(?:[biufc]\d{1,4}|[SUV]\d{1,10}|[mM]8(?:\[[0-9A-Za-z/]{1,32}\])?)")
_NAMED = re.compile(r"[a-z][a-z0-9_]{1,31}")
_MAX_DEPTH = 16


def of(exporter: Any) -> bytes | None:
    """The type of an exporter's items; None if only their size is known.

    Raises MessageRefusedError for one that `load` would not take.
    """
    dtype = getattr(exporter, "dtype", None)
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if not isinstance(dtype, numpy.dtype):
        try:
            kind = cast("Any", type(exporter))
            if type(kind).__module__ == "_ctypes":
                # Before Python 3.12 the formats of ctypes' structures may be wrong.
                dtype = numpy.dtype(kind).base
            else:
                dtype = numpy.asarray(exporter).dtype
        except (TypeError, ValueError, NotImplementedError):
            return None
    tree = _tree(dtype)
    try:
        _spec(tree, 0)
    except ValueError as error:  # to a receiver it would be a violation
        raise MessageRefusedError(f"items of {dtype} cannot travel: {error}") from error
    return (tree if isinstance(tree, str) else json.dumps(tree, separators=(",", ":"))).encode()


def load(text: bytes) -> Any:
    """The `numpy.dtype` of a text, or without NumPy the text as a str.

    Raises ValueError for what is none, ModuleNotFoundError for one of ml_dtypes without it.
    """
    decoded = text.decode()
    try:
        np: Any = importlib.import_module("numpy")
    except ModuleNotFoundError:
        return decoded
    try:
        tree = json.loads(decoded) if decoded[:1] in ("{", "[") else decoded
        dtype = np.dtype(_spec(tree, 0))
    except (TypeError, RecursionError, OverflowError, SyntaxError, KeyError) as error:
        raise ValueError(f"{decoded[:80]!r}: {error}") from error
    if dtype.hasobject:
        raise ValueError(f"{decoded[:80]!r} holds pointers")
    if dtype.subdtype is not None:
        # NumPy would make arrays of another shape of it.
        raise ValueError(f"{decoded[:80]!r} is no type of an array's items")
    return dtype


def _tree(dtype: Any) -> Any:
    """A type as a str, a structure as a dict, an array of one within a structure as a list."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_tree(base), list(shape)]
    if dtype.names is None:
        # What others have registered is told apart by its name only: all of it is void to NumPy.
        return dtype.name if dtype.isbuiltin == 2 else dtype.str
    fields = [dtype.fields[name] for name in dtype.names]
    return {
        "names": list(dtype.names),
        "formats": [_tree(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
    }


def _spec(tree: Any, depth: int) -> Any:
    """What `numpy.dtype` takes: nothing of the peer's but plain types gets there."""
    if depth > _MAX_DEPTH:
        raise ValueError("it nests too deep")
    return _SPECS[type(tree)](tree, depth + 1)


def _item(text: str, depth: int) -> Any:
    del depth
    if _PLAIN.fullmatch(text):
        return text
    if _NAMED.fullmatch(text):
        return _registered(text)
    raise ValueError(f"{text[:80]!r} is no type")


def _array(pair: list[Any], depth: int) -> Any:
    base, shape = pair
    if not all(type(extent) is int and extent >= 0 for extent in shape):
        raise ValueError(f"{shape!r} is no shape")
    return (_spec(base, depth), tuple(shape))


def _structure(fields: dict[str, Any], depth: int) -> Any:
    if set(fields) != {"names", "formats", "offsets", "itemsize"}:
        raise ValueError("it is no structure")
    return {**fields, "formats": [_spec(item, depth) for item in fields["formats"]]}


_SPECS: dict[type, Any] = {str: _item, list: _array, dict: _structure}


def _registered(name: str) -> Any:
    """A type of ml_dtypes, by its name."""
    try:
        module = importlib.import_module("ml_dtypes")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"to receive {name}, install ml_dtypes") from error
    if name not in getattr(module, "__all__", ()):
        raise ValueError(f"{name!r} is no type that ml_dtypes knows")
    return getattr(module, name)
