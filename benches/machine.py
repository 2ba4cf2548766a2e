"""What a table was measured on: one line to stand below it."""

import datetime
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def describe(libraries: Iterable[str]) -> str:
    """Processor, kernel, TCP congestion control, Python, the versions of `libraries`, date."""
    today = datetime.datetime.now(datetime.UTC).date()
    return ", ".join(
        [
            f"{_processor()} ({os.cpu_count()} CPUs)",
            # What follows the dash is the name of a build, which says nothing to a reader.
            f"{platform.system()} {platform.release().partition('-')[0]}",
            f"TCP {congestion_control()}",
            f"{platform.python_implementation()} {platform.python_version()}",
            *(f"{library} {_version(library)}" for library in libraries),
            str(today),
        ]
    )


def congestion_control() -> str:
    """The default of this machine (tcp(7))."""
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
