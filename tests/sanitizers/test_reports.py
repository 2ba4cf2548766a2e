"""Each sanitizer finds what it is there to find: a run that checks nothing must not pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / "tools" / "sanitize"

ASAN = {
    "nothing": None,
    "send_freed": "heap-use-after-free",
    "send_freed_of_several": "heap-use-after-free",
    "send_freed_items": "heap-use-after-free",
    "send_too_many": "heap-buffer-overflow",
    "receive_too_many": "heap-buffer-overflow",
    "lose_a_stream": "LeakSanitizer: detected memory leaks",
    "lose_memory": "LeakSanitizer: detected memory leaks",
}
MEMCHECK = {
    "nothing": None,
    "send_freed": "Syscall param socketcall.sendto(msg) points to unaddressable",
    "send_freed_of_several": "Syscall param sendmsg(msg.msg_iov[1]) points to unaddressable",
    "send_undefined": "Syscall param socketcall.sendto(msg) points to uninitialised",
    "receive_too_many": "Syscall param socketcall.recvfrom(buf) points to unaddressable",
}


def made(tool: str, mistake: str) -> tuple[bool, str]:
    """Whether the program that makes it ended well, and all that was said."""
    command = [TOOLS / tool, sys.executable, HERE / "mistakes.py", mistake]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def assert_reported(tool: str, mistake: str, report: str | None) -> None:
    ended_well, said = made(tool, mistake)
    if report is None:
        assert (ended_well, said) == (True, "nothing was found\n")
    else:
        assert not ended_well and report in said, said


@pytest.mark.parametrize("mistake", ASAN)
def test_asan_when_a_program_makes_a_mistake_then_it_is_reported(mistake):
    assert_reported("asan.sh", mistake, ASAN[mistake])


@pytest.mark.parametrize("mistake", MEMCHECK)
def test_memcheck_when_a_program_makes_a_mistake_then_it_is_reported(mistake):
    assert_reported("memcheck.sh", mistake, MEMCHECK[mistake])
