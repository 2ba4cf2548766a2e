"""What the results were measured on."""

import datetime
import platform
import re
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from ..machine import describe
from . import namespace, placement

LIBRARIES = (
    "pinwire",
    "numpy",
    "pandas",
    "uvloop",
    "trio",
    "anyio",
    "pyzmq",
    "pynng",
    "pyarrow",
    "distributed",
    "mpi4py",
    "iceoryx2",
)
SYSCTLS = ("core/rmem_max", "core/wmem_max", "ipv4/tcp_rmem", "ipv4/tcp_wmem")


def machine() -> dict[str, Any]:
    """Facts for the head of a page; "described" is one line of them for below a table."""
    installed = {name for names in packages_distributions().values() for name in names}
    versions = {name: version(name) for name in LIBRARIES if name in installed}
    # The machine's default, as the line has it, is not what connections in a namespace use.
    control = namespace.in_use()
    described = re.sub(r"TCP [^,]+", f"TCP {control}", describe(versions), count=1)
    processor, _, rest = described.partition(", Linux ")
    return {
        "described": described,
        "processor": processor,
        "kernel": rest.partition(",")[0],
        "congestion_control": control,
        "placement": placement.described(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
        "sysctls": {name: _sysctl(name) for name in SYSCTLS},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
    }


def _sysctl(name: str) -> str:
    try:
        return " ".join(Path("/proc/sys/net", name).read_text().split())
    except OSError:
        return "not shown"
