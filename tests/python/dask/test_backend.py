"""What Dask finds under the scheme of an address, and its configuration."""

from __future__ import annotations

import os

import dask.config
import pytest
from comms import MESSAGE, connected, listening, passed, settings
from distributed.comm.addressing import (
    get_address_host,
    get_address_host_port,
    get_local_address_for,
    parse_address,
    resolve_address,
    unparse_address,
)
from distributed.comm.registry import get_backend
from distributed.protocol import to_serialize
from hostile import descriptors
from support import finish, start_program

import pinwire.dask

FRESH = """
import asyncio, sys
from distributed.comm.registry import get_backend

assert not any(name.startswith("pinwire") for name in sys.modules)
backend = get_backend("pinwire")
print(type(backend).__module__, type(backend).__qualname__)

async def main():
    accepted = asyncio.get_running_loop().create_future()
    async with backend.get_listener("127.0.0.1", accepted.set_result, True) as listener:
        address = listener.contact_address.removeprefix("pinwire://")
        comm = await backend.get_connector().connect(address)
        print(comm.stats().same_host, comm._channel.high_water)
        comm.abort()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def fresh():
    """What a process says that knows pinwire.dask by its name only, and is configured from the
    environment."""
    environment = os.environ | {
        "DASK_DISTRIBUTED__COMM__PINWIRE__SAME_HOST": "off",
        "DASK_DISTRIBUTED__COMM__PINWIRE__HIGH_WATER": "3 kiB",
    }
    code, out, err = finish(start_program(FRESH, env=environment))
    assert (code, err) == (0, "")
    return out.splitlines()


def test_backend_when_dask_looks_for_it_then_it_is_found_by_its_scheme(fresh):
    assert fresh[0] == "pinwire.dask._backend Backend"


def test_configuration_when_the_environment_has_it_then_it_holds(fresh):
    assert fresh[1] == "off 3072"


def test_backend_when_it_was_found_then_it_is_ours():
    assert type(get_backend("pinwire")) is pinwire.dask.Backend


def test_addresses_when_taken_apart_then_they_are_as_those_of_tcp():
    address = "pinwire://127.0.0.1:1234"
    assert parse_address(address) == ("pinwire", "127.0.0.1:1234")
    assert unparse_address("pinwire", "127.0.0.1:1234") == address
    assert get_address_host(address) == "127.0.0.1"
    assert get_address_host("pinwire://[::1]:1234") == "::1"
    assert get_address_host_port(address) == ("127.0.0.1", 1234)
    assert get_address_host_port("pinwire://[::1]:1234") == ("::1", 1234)
    assert resolve_address("pinwire://localhost:1234") in (address, "pinwire://[::1]:1234")
    assert get_local_address_for(address) == "pinwire://127.0.0.1"


def test_same_host_when_it_is_set_then_the_channel_has_it(run):
    async def main():
        # A file of YAML makes False of `off`.
        for value, reason in (("auto", "untried"), ("off", "off"), (False, "off")):
            async with connected(same_host=value) as (client, _):
                assert client.stats().same_host == reason

    run(main())


def test_high_water_when_it_is_set_then_the_channel_has_it(run):
    async def main():
        for value, nbytes in (("1 MiB", 1 << 20), (5000, 5000)):
            async with connected(high_water=value) as (client, server):
                assert client._channel.high_water == server._channel.high_water == nbytes
        async with connected() as (client, _):
            assert client._channel.high_water == 512 << 20

    run(main())


def test_max_message_when_one_is_larger_then_the_writer_is_told_and_goes_on(run):
    async def main():
        async with connected(max_message="1 MB") as (client, server):
            with pytest.raises(pinwire.MessageRefusedError, match="1000000"):
                await client.write(to_serialize(bytes(2_000_000)))
            assert await passed(client, server, MESSAGE) == MESSAGE

    run(main())


def test_configuration_when_the_section_is_empty_then_the_defaults_hold(run):
    async def main():
        with dask.config.set({"distributed.comm.pinwire": None}):
            options = pinwire.dask._options.channel_options()
        assert options["same_host"] == "auto"

    run(main())


WRONG = [
    ({"same_host": "on"}, 'same_host must be "auto" or "off"'),
    ({"high_water": "much"}, "Could not interpret 'much'"),
    ({"high_water": -1}, "high_water must be positive: -1"),
    ({"max_message": "0"}, "max_message_bytes must be positive: 0"),
]


@pytest.mark.parametrize(("options", "text"), WRONG)
def test_configuration_when_it_makes_no_sense_then_connecting_says_so(options, text, run):
    async def main():
        async with listening(lambda comm: None) as listener:
            address = listener.contact_address.removeprefix("pinwire://")
            before = descriptors()
            with settings(**options), pytest.raises(ValueError, match=text):
                await get_backend("pinwire").get_connector().connect(address)
            assert descriptors() <= before + 1

    run(main())
