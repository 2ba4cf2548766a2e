"""What travels. Both processes build the same objects from one seed, so each knows the truth."""

import array
import io
import mmap
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from benches.delivery.case import Bytes

MIB = 1024 * 1024
SEED = 20


@dataclass(frozen=True)
class Item:
    name: str
    payload: Any

    @property
    def nbytes(self) -> int:
        return bytes_of(self.payload).nbytes


def build() -> list[Item]:
    """The objects, the same in every process."""
    random = np.random.default_rng(SEED)
    plane = random.random((4096, 2048), dtype=np.float32)
    return [
        Item("float64 array", random.random(64 * MIB // 8)),
        Item("float32 view [::2]", plane[::2]),
        Item("float32 view [:, ::3]", plane[:, ::3]),
        Item("pandas datetime64", _frame(random)["when"].to_numpy()),
        Item("Pillow image", np.asarray(_picture(random))),
        Item("mmap of a file", _mapped_file(random.bytes(32 * MIB))),
        Item("bytearray", bytearray(random.bytes(16 * MIB))),
        Item("array.array('d')", array.array("d", random.bytes(8 * MIB))),
    ]


def landing_for(payload: Any) -> Any:
    """Preallocated memory of the same kind, type and shape, contiguous."""
    match payload:
        case np.ndarray():
            return np.empty(payload.shape, payload.dtype)
        case mmap.mmap():
            return mmap.mmap(-1, len(payload))
        case array.array():
            return array.array(payload.typecode, bytes(len(payload) * payload.itemsize))
        case _:
            return bytearray(len(payload))


def bytes_of(payload: Any) -> Bytes:
    """The bytes in C order: the memory itself if it is contiguous, else a copy of it."""
    if isinstance(payload, np.ndarray):
        return np.ascontiguousarray(payload).reshape(-1).view(np.uint8)
    return np.frombuffer(payload, np.uint8)


def _frame(random: np.random.Generator) -> pd.DataFrame:
    rows = 2_000_000
    when = np.datetime64("2024-01-01", "ns") + random.integers(0, 10**17, rows)
    return pd.DataFrame({"when": when, "price": random.random(rows)})


def _picture(random: np.random.Generator) -> Image.Image:
    """Drawn, written as PNG and decoded again: what a program that reads images has in hand."""
    drawing = Image.effect_mandelbrot((2048, 1536), (-2.2, -1.2, 1.0, 1.2), 60).convert("RGB")
    draw = ImageDraw.Draw(drawing)
    for x, y, size, red, green, blue in random.integers(0, 256, (200, 6)).tolist():
        box = (8 * x, 6 * y, 8 * x + size, 6 * y + size)
        draw.ellipse(box, fill=(red, green, blue))
    png = io.BytesIO()
    drawing.save(png, "PNG", compress_level=1)
    return Image.open(png)


def _mapped_file(content: bytes) -> mmap.mmap:
    # The mapping outlives the name and the descriptor of the file (mmap(2)).
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
