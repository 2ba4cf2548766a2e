"""Sub-interpreters are refused, of whatever kind, and the main interpreter does not feel it."""

from __future__ import annotations

import textwrap

import pytest
from support import program

SUB_INTERPRETER = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def try_to_import(kind, *names):
    if sys.version_info >= (3, 13):
        number = interpreters.create(kind)
    else:
        number = interpreters.create(isolated=kind == "isolated")
    for name in names:
        code = f"try:\\n import {name}\\nexcept ImportError as error:\\n print(error, flush=True)"
        assert interpreters.run_string(number, code) is None
    interpreters.destroy(number)
"""

USE = """
import asyncio, pinwire
from pinwire import blocking

a, b = blocking.socketpair()
with a, b:
    a.send_buffer(b"x" * 1000)
    assert b.recv_exactly_into(bytearray(1000)) == 1000

async def main():
    a, b = pinwire.socketpair()
    asyncio.get_running_loop().slow_callback_duration = 100
    async with pinwire.Channel(a) as a, pinwire.Channel(b) as b:
        _, message = await asyncio.gather(a.send(b"x" * 1000_000), b.recv())
        assert message.nbytes == 1000_000

asyncio.run(main())
"""

STRICT = ("-W", "error", "-X", "dev")
KINDS = ["legacy", "isolated"]


def run(*parts: str) -> list[str]:
    code = "".join(textwrap.dedent(part) for part in (SUB_INTERPRETER, *parts))
    returncode, out, err = program(code, options=STRICT)
    assert (returncode, err) == (0, "")
    return out.splitlines()


def is_refusal(line: str) -> bool:
    # An interpreter with a GIL of its own is refused by CPython, in its words.
    return line in (
        "pinwire cannot be loaded into a sub-interpreter: import it in the main interpreter",
        "module pinwire._core does not support loading in subinterpreters",
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["pinwire", "pinwire.blocking", "pinwire.testing"])
def test_import_when_in_a_sub_interpreter_then_it_is_a_clear_import_error(kind, name):
    lines = run(f"try_to_import({kind!r}, {name!r}, {name!r})")
    assert len(lines) == 2
    assert all(map(is_refusal, lines)), lines


@pytest.mark.parametrize("kind", KINDS)
def test_main_interpreter_when_it_has_used_us_before_then_the_refusal_changes_nothing(kind):
    lines = run(USE, f"try_to_import({kind!r}, 'pinwire')\n" * 2, USE)
    assert len(lines) == 2
    assert all(map(is_refusal, lines)), lines


@pytest.mark.parametrize("kind", KINDS)
def test_main_interpreter_when_a_sub_interpreter_tried_first_then_nothing_is_left_of_that(kind):
    whole = """
        import gc
        # What another interpreter has made is not known to this one.
        assert gc.is_tracked(pinwire.Stream)
        assert pinwire._core.BaseStream in object.__subclasses__()
    """
    lines = run(f"try_to_import({kind!r}, 'pinwire')\n", USE, whole)
    assert len(lines) == 1
    assert is_refusal(lines[0])
