"""How much memory a call took at its height: a library that copies an object holds the copy."""

from pathlib import Path
from types import TracebackType
from typing import Self

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures a `with` block. `growth` is in bytes, or None where the kernel does not tell."""

    growth: int | None = None

    def __enter__(self) -> Self:
        try:
            # "5" sets the peak back to what is resident now (proc_pid_clear_refs(5)).
            _CLEAR_REFS.write_text("5")
        except OSError:
            self._before = None
        else:
            self._before = _resident_peak()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._before is not None:
            self.growth = _resident_peak() - self._before


def _resident_peak() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{_STATUS} has no VmHWM")
