"""A network namespace of its own, where loopback TCP uses cubic whatever the machine's default is.

bbr paces by a model of a path; over loopback it measures its own timers. A namespace inherits the
machine's default and may set only what the machine allows, but a route may name any algorithm
(ip-route(8), `congctl`).
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence

CONTROL = "cubic"
INSIDE = f"own network namespace, {CONTROL}"

_SETUP = (
    "ip link set lo up && "
    "ip route replace local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1 table local "
    f"congctl {CONTROL} && "
    'exec "$@"'
)
_SECONDS = 20


def command() -> list[str] | None:
    """What to put before a command to run it in there; None where that cannot be had."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return None
    for options in ("-n", "-rn"):
        prefix = ["unshare", options, "sh", "-c", _SETUP, "sh"]
        probe = [*prefix, sys.executable, "-m", __spec__.name]
        if _output(probe) == CONTROL:
            return prefix
    return None


def in_use() -> str:
    """The congestion control of a connection over loopback, as both of its ends have it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as accepted,
    ):
        names = {
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()
            for sock in (client, accepted)
        }
    return " and ".join(sorted(names))


def _output(arguments: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=_SECONDS, env=dict(os.environ)
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    print(in_use())
