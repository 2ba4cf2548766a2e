"""Two hosts, made of network namespaces and a veth pair, and a link between them that can be bad.

A namespace lives as long as a process that does nothing but wait for the end of its input. So all
of it goes with whoever made it, however that ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from types import TracebackType
    from typing import Self

TOOLS = ["unshare", "nsenter", "ip", "tc", "nft"]
NEAR, FAR = "10.77.0.1", "10.77.0.2"
VETH = "soak0"


def missing() -> str:
    """Why there can be no hosts, if that is so."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return probe.stderr.strip()


class Host:
    """A network namespace with one end of the link."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(
            # It says when it is in its namespace.
            ["unshare", "--net", "sh", "-c", "echo; exec cat >&2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._keeper.stdout.readline()
        self.pid = self._keeper.pid
        self.run("ip", "link", "set", "lo", "up")

    @property
    def inside(self) -> list[str]:
        """What to put before a command that is to run there."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net"]

    def run(self, *command: str, text: str | None = None) -> None:
        done = subprocess.run([*self.inside, *command], input=text, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")

    def close(self) -> None:
        self._keeper.stdin.close()
        self._keeper.stdout.close()
        self._keeper.wait()


class Link:
    """Both hosts, and the rules that spoil what goes between them."""

    def __init__(self) -> None:
        self.near, self.far = Host(), Host()

    def __enter__(self) -> Self:
        peer = ["peer", "name", VETH, "netns", str(self.far.pid)]
        self.near.run("ip", "link", "add", VETH, "type", "veth", *peer)
        for host, address in ((self.near, NEAR), (self.far, FAR)):
            host.run("ip", "address", "add", f"{address}/30", "dev", VETH)
            # Without large segments a rule sees packets as a wire has them.
            host.run("ip", "link", "set", "dev", VETH, "gso_max_segs", "1", "up")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.near.close()
        self.far.close()

    def lose(self, chance: random.Random) -> str:
        """Drop packets at random, in both directions."""
        rate = chance.choice([5, 20, 50])
        for host in (self.near, self.far):
            _filter(host, f"numgen random mod 1000 < {rate} drop")
        return f"{rate / 10} % lost"

    def reset(self, chance: random.Random) -> str:
        """Answer packets with a reset, at one end or at both."""
        rate = chance.choice([2, 5, 20])
        rule = f"meta l4proto tcp numgen random mod 1000 < {rate} reject with tcp reset"
        for host in chance.choice([[self.near], [self.far], [self.near, self.far]]):
            _filter(host, rule, chance.choice([["input"], ["output"], ["input", "output"]]))
        return f"{rate / 10} % reset"

    def slow(self, chance: random.Random) -> str:
        """Let only so many bytes through in a second, with a queue that overflows."""
        rate = chance.choice([5, 20, 100])
        shape = f"tbf rate {rate}mbit burst 16kb latency {chance.choice([5, 50])}ms"
        for host in (self.near, self.far):
            host.run("tc", "qdisc", "replace", "dev", VETH, "root", *shape.split())
        return f"{rate} Mbit/s"

    def clear(self) -> None:
        for host in (self.near, self.far):
            host.run("nft", "flush", "ruleset")
            # It fails if there is none.
            command = [*host.inside, "tc", "qdisc", "del", "dev", VETH, "root"]
            subprocess.run(command, capture_output=True)


def _filter(host: Host, rule: str, hooks: tuple[str, ...] | list[str] = ("input",)) -> None:
    chains = "".join(
        f"chain {hook} {{\n type filter hook {hook} priority 0\n iifname != lo {rule}\n}}\n"
        if hook == "input"
        else f"chain {hook} {{\n type filter hook {hook} priority 0\n oifname != lo {rule}\n}}\n"
        for hook in hooks
    )
    host.run("nft", "-f", "-", text=f"table inet soak {{\n{chains}}}\n")
