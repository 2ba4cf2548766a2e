"""docs/security.md: what it says of the code, and the snippet in it."""

from __future__ import annotations

import contextlib
import errno
import re
from pathlib import Path

import numpy as np
import pytest
from hostile import hello, rest, take
from links import HELLO_LEN, INVITATION_LEN, answer, invitation
from neighbours import HELLO, beside, joining
from offers import refused
from support import PATIENCE, Call, program

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
LINES = " ".join(PAGE.split())
(SNIPPET,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
HAS_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope").exists()
ARRAY = np.zeros(524_288, "u1")


@pytest.mark.parametrize("pid", [-1, 0, 1])
def test_snippet_when_it_runs_then_only_a_system_without_yama_refuses_it(pid):
    call = f"try:\n    let_attach({pid})\nexcept OSError as error:\n    print(error.errno)"
    said = "" if HAS_YAMA else f"{errno.EINVAL}\n"
    assert program(f"{SNIPPET}\n{call}") == (0, said, "")


def test_snippet_when_it_calls_then_the_option_is_that_of_yama():
    (option,) = re.findall(r"PR_SET_PTRACER = (0x[0-9A-F]+)", SNIPPET)
    assert int(option, 16) == int.from_bytes(b"Yama", "big")


def test_code_when_read_then_it_writes_into_no_process_and_lets_none_attach():
    sources = [*(ROOT / "src").rglob("*.rs"), *(ROOT / "python").rglob("*.py")]
    assert len(sources) > 50
    for path in sources:
        text = path.read_text().lower()
        assert not re.search(r"process_vm_writev\(|set_ptracer|0x59616d61|libc::prctl", text), path


def described(channel):
    return channel.transport, channel.stats().same_host


def ways(peer_hello=HELLO, said=b"", refusal=0, same_host="auto"):
    """What a channel says of its way before a large message and after it."""
    with contextlib.ExitStack() as stack:
        theirs, channel = stack.enter_context(beside(peer_hello, same_host))
        before = described(channel)
        sending = Call(channel.send, ARRAY, timeout=PATIENCE)
        if said or refusal:
            frame = take(theirs, HELLO_LEN + INVITATION_LEN)[HELLO_LEN:]
            if said:
                stack.enter_context(joining(frame, said))
            else:
                stack.enter_context(refused(invitation(frame), refusal))
        reading = Call(rest, theirs)
        sending.result()
        after = described(channel)
        channel.abort()
        reading.result()
    return before, after


UNTRIED = ("unix", "untried")
PEER_OFF = "the peer has it off, or no /proc to know its host by"


@pytest.mark.parametrize(
    ("arguments", "before", "after"),
    [
        ({"said": answer(1)}, UNTRIED, ("same-host", "in use")),
        ({"same_host": "off"}, ("unix", "off"), ("unix", "off")),
        ({"peer_hello": hello()}, UNTRIED, ("unix", PEER_OFF)),
        ({"peer_hello": hello(flags=2)}, UNTRIED, ("unix", "the peer is on another host")),
        (
            {"said": answer(1, 3, errno.EPERM)},
            UNTRIED,
            ("unix", "the peer cannot read this process"),
        ),
        (
            {"refusal": errno.ESRCH},
            UNTRIED,
            ("unix", "the peer cannot read this process"),
        ),
    ],
    ids=["in-use", "off", "peer-off", "elsewhere", "unreadable", "refused"],
)
def test_stats_when_a_message_has_gone_then_they_say_what_the_page_says(arguments, before, after):
    untried, (transport, text) = ways(**arguments)
    assert untried == before
    assert (transport, text[: len(after[1])]) == after
    assert f'"{transport}"' in LINES and f'"{after[1]}"' in LINES


def test_claims_when_the_page_names_a_test_then_there_is_one():
    named = re.findall(r"`(test_\w+\.py|link\.rs|peer\.rs)`: `(\w+)`", PAGE)
    assert len(named) > 10
    for file, test in named:
        rooms = {"peer.rs": "src/sys", "link.rs": "tests"}
        path = ROOT / rooms.get(file, "tests/python") / file
        assert re.search(rf"\b(?:def|fn) {test}\(", path.read_text()), (file, test)
