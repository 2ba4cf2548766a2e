"""NumPy's types of items as text, and back; called by the core for those it does not know.

A type is written as NumPy's array interface writes it ("<f8", "<M8[ns]"), by its name if it is
one of ml_dtypes ("bfloat16"), and a structure as the JSON of what `numpy.dtype` takes.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any, cast


def of(exporter: Any) -> bytes | None:
    """The type of an exporter's items; None if only their size is known."""
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
    return (tree if isinstance(tree, str) else json.dumps(tree, separators=(",", ":"))).encode()


def load(text: bytes) -> Any:
    """The `numpy.dtype` of a text that the core has checked, or without NumPy the text as a str.

    Raises ModuleNotFoundError for a type of ml_dtypes without it, or with one too old to know it.
    """
    decoded = text.decode()
    try:
        np: Any = importlib.import_module("numpy")
    except ModuleNotFoundError:
        return decoded
    return np.dtype(_spec(json.loads(decoded) if decoded[:1] == "{" else decoded))


def _tree(dtype: Any) -> Any:
    """A type as a str, a structure as a dict, an array of one within a structure as a list.

    Raises TypeError for what would be lost: metadata and titles of fields.
    """
    if dtype.metadata:
        raise TypeError(
            "the metadata of a dtype does not travel: send a .view() of a dtype without it (and it "
            "as meta), or the whole by Channel.send_object"
        )
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return [_tree(base), list(shape)]
    if dtype.names is None:
        # What others have registered is told apart by its name only: all of it is void to NumPy.
        return dtype.name if dtype.isbuiltin == 2 else dtype.str
    fields = [dtype.fields[name] for name in dtype.names]
    if any(len(field) > 2 for field in fields):
        raise TypeError(
            "the titles of a dtype's fields do not travel: send a .view() of a dtype without them, "
            "or the whole by Channel.send_object"
        )
    return {
        "names": list(dtype.names),
        "formats": [_tree(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
        **({"aligned": True} if dtype.isalignedstruct else {}),
    }


def _spec(tree: str | list[Any] | dict[str, Any]) -> Any:
    """What `numpy.dtype` takes for a tree of `_tree`."""
    if isinstance(tree, list):
        base, shape = tree
        return (_spec(base), tuple(shape))
    if isinstance(tree, dict):
        return {**tree, "formats": [_spec(item) for item in tree["formats"]]}
    return tree if tree[:1] in ("<", ">", "|") else _registered(tree)


def _registered(name: str) -> Any:
    """A type of ml_dtypes, by its name."""
    try:
        module = importlib.import_module("ml_dtypes")
        return getattr(module, name)
    except (ModuleNotFoundError, AttributeError) as error:
        text = f"to receive {name}, install ml_dtypes, in a version that has it"
        raise ModuleNotFoundError(text) from error
