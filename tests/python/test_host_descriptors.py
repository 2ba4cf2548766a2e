"""A link is one descriptor more, which goes with its channel and gives way where they run out."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from links import UNREADABLE, Board, answer, place_in
from offers import DATA, SIZE, invitee
from relay import server
from support import PATIENCE, finish, program, start_program

import pinwire.blocking

HERE = Path(__file__).parent


def test_a_link_when_it_is_there_then_each_end_has_one_descriptor_more(host):
    async def main():
        async with host.pair():  # after which a loop has what it keeps
            pass
        async with host.pair() as (client, server):
            before = sockets()
            sending = asyncio.ensure_future(client.send(DATA))
            await server.recv()
            await sending
            sending = asyncio.ensure_future(server.send(DATA))
            await client.recv()
            await sending
            assert client.stats().same_host == server.stats().same_host == "in use"
            assert sockets() == before + 2

    host.run(main())


@pytest.mark.parametrize("how", ["close", "abort", "detach"])
def test_an_invitation_when_its_channel_ends_then_nobody_listens_any_more(face, how):
    async def main():
        before = sockets()
        async with invitee(face) as receiver:
            sending = receiver.send()
            invited = await receiver.invited()
            assert await receiver.has_sent()
            await sending
            channel = receiver.channel
            with invited.dial():
                assert sockets() == before + 4
            match how:
                case "detach":
                    os.close(channel.stream.detach())
                case "abort":
                    channel.abort()
                case "close":
                    await channel.close()
            assert sockets() == before + 1
            with pytest.raises(ConnectionRefusedError):
                invited.dial()

    face.run(main())


def sockets():
    """Descriptors of sockets and processes."""
    links = []
    for path in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(path.readlink()))
        except OSError:  # that of the directory itself
            continue
    return sum("socket:" in link or "pidfd" in link for link in links)


MANY = """
import resource, sys, pinwire.blocking

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
host, port, count = *sys.argv[1:3], int(sys.argv[3])
content, ways, channels = bytes(range(256)) * 4096, [], []
for _ in range(count):
    channel = pinwire.blocking.connect_channel(f"tcp://{host}:{port}")
    channels.append(channel)
    channel.send(content, meta={"whole": True}, timeout=30)
    assert bytes(channel.recv(timeout=30).parts[0]) == content
    ways.append(channel.stats().same_host)
few = [open("/proc/self/stat") for _ in range(64)]
assert ways[0] == "in use" and ways[-1] != "in use", ways
print(ways[-1])
for each in [*few, *channels]:
    each.close()
"""


def test_links_when_there_are_many_channels_then_they_leave_half_of_the_descriptors():
    with server() as address:
        code, out, err = finish(start_program(MANY, *address, 110))
    reason = "the system refuses what it takes: Too many open files (os error 24)\n"
    assert (code, out, err) == (0, reason, "")


FLOOD = """
import socket, sys
from confined import WAYS

if sys.argv[2] != "-":
    WAYS[sys.argv[2]]()
socks, count = [], 0
while count < 300:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.setblocking(False)
    try:
        sock.connect(b"\\0pinwire-" + sys.argv[1].encode())
    except BlockingIOError:
        break
    socks.append(sock)
    count += 1
print(count, flush=True)
sys.stdin.read()
for sock in socks:
    sock.close()
"""


@pytest.mark.parametrize("who", ["-", "nobody"])
def test_strangers_when_they_fill_the_queue_then_one_of_our_user_is_kept_at_most(face, who):
    if who != "-" and os.geteuid() != 0:
        pytest.skip("only root can become another user")

    async def main():
        async with invitee(face) as receiver:
            sending = receiver.send()
            invited = await receiver.invited()
            assert await receiver.has_sent()
            assert await sending == SIZE
            process = start_program(FLOOD, invited.name.hex(), who, cwd=HERE, stdin=-1)
            count = int(process.stdout.readline())
            # Nobody looks meanwhile, so they are as many as may wait.
            assert count < 20
            before = sockets()
            for _ in range(3):
                message = receiver.send()
                assert await receiver.has_sent()
                assert await message == SIZE
            assert sockets() == before + (who == "-")
            with invited.dial() as link:
                link.send(invited.join(Board()))
                message = receiver.send()
                place = place_in(await asyncio.to_thread(link.recv, 1000))
                link.send(answer(await receiver.offered(place)))
                assert await message == SIZE
            assert await asyncio.to_thread(finish, process) == (0, "", "")

    face.run(main())


EXECUTED = """
import os, socket, sys, threading
from links import Board, offer, record, welcome, accepted, inviting
from hostile import take, prefix
from offers import neighbours_hello

sock, data = socket.socket(fileno=int(sys.argv[1])), bytes(1 << 19)
invited, board = inviting(), Board()
board.stand(1, record([(board.address, 1 << 19)]))
with invited.listen() as listener:
    sock.sendall(neighbours_hello() + invited.frame() + prefix(0, 0, 0, 0))
    link, _ = accepted(listener)
link.send(welcome(board))
for end in (sock, link):
    end.settimeout(None)  # which the next program expects
    end.set_inheritable(True)
after = f'''
import os, socket
sock, link = socket.socket(fileno={sock.fileno()}), socket.socket(fileno={link.fileno()})
for end in (sock, link):
    end.setblocking(True)  # a timeout has left them otherwise
sock.sendall({offer([1 << 19])!r})
print(link.recv(100).hex(), flush=True)
sock.close()
link.close()
'''
os.execv(sys.executable, [sys.executable, "-c", after])
"""


def test_an_offer_when_its_process_has_executed_another_program_then_it_is_not_read():
    ours, theirs = socket.socketpair()
    with theirs:
        process = start_program(EXECUTED, theirs.fileno(), cwd=HERE, pass_fds=[theirs.fileno()])
    channel = pinwire.blocking.Channel(pinwire.blocking.Stream.from_socket(ours))
    with channel:
        assert channel.recv(timeout=PATIENCE).nbytes == 0
        with pytest.raises((pinwire.IncompleteTransferError, ConnectionResetError)):
            channel.recv(timeout=PATIENCE)
        assert channel.stats().bytes_pulled == 0
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert bytes.fromhex(out)[:16] == answer(1, UNREADABLE)[:16]


USERS = """
import os, sys, threading, pinwire.blocking

left, right = map(pinwire.blocking.Channel, pinwire.blocking.socketpair())
content = bytes(1 << 20)

def exchange(sender, receiver):
    thread = threading.Thread(target=sender.send, args=[content])
    thread.start()
    assert bytes(receiver.recv(timeout=9).parts[0]) == content
    thread.join()

while left.stats().same_host != "in use":
    exchange(left, right)
pulled = right.stats().bytes_pulled
os.seteuid(65533)
exchange(left, right)
print(right.stats().bytes_pulled - pulled, left.stats().same_host)
left.close()
right.close()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_link_when_its_process_gets_another_user_then_nothing_goes_by_it():
    reason = "this process was forked, or got another user, meanwhile"
    assert program(USERS) == (0, f"0 {reason}\n", "")
