"""What a process may do to itself, or have done to it, so that others cannot read its memory, or it
finds a system without something."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1
SECCOMP_MODE_FILTER, SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 2, 0x50000, 0x7FFF0000
LOAD_NUMBER, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_NEWNS, MS_REC, MS_PRIVATE, PR_SET_KEEPCAPS, SOMEBODY = 0x20000, 1 << 14, 1 << 18, 8, 65533
CAPABILITIES_VERSION, CAP_SYS_PTRACE = 0x20080522, 19

# Of the machine: process_vm_readv, seccomp, capget, capset, socket, setsockopt, getsockopt.
READ_PROCESS, SECCOMP, CAPGET, CAPSET, SOCKET, SETSOCKOPT, GETSOCKOPT = {
    "x86_64": (310, 317, 125, 126, 41, 54, 55),
    "aarch64": (270, 277, 90, 91, 198, 208, 209),
}[os.uname().machine]
# Where a filter finds them (struct seccomp_data): the number, arguments, of which low halves.
NUMBER, FIRST_ARGUMENT, OPTION = 0, 16, 16 + 2 * 8
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
SO_PASSRIGHTS = 83

_libc = ctypes.CDLL(None, use_errno=True)


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("first", ctypes.POINTER(_Instruction)))


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _filter(number: int) -> Any:
    """Have process_vm_readv(2) fail with this error."""
    return (_Instruction * 4)(
        (LOAD_NUMBER, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 1, READ_PROCESS),
        (RETURN, 0, 0, SECCOMP_RET_ERRNO | number),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),
    )


def _program(instructions: Any) -> Any:
    return ctypes.byref(_Program(len(instructions), instructions))


def _forbid_in_process_by(instructions: Any) -> None:
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    program = _program(instructions)
    _check(_libc.syscall(SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program))


def _have_no_ipv6() -> None:
    """As on a kernel without it: socket(2) fails."""
    _forbid_in_process_by(
        (_Instruction * 6)(
            (LOAD_NUMBER, 0, 0, NUMBER),
            (JUMP_IF_EQUAL, 0, 3, SOCKET),
            (LOAD_NUMBER, 0, 0, FIRST_ARGUMENT),
            (JUMP_IF_EQUAL, 0, 1, socket.AF_INET6),
            (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EAFNOSUPPORT),
            (RETURN, 0, 0, SECCOMP_RET_ALLOW),
        )
    )


def _disable_ipv6() -> None:
    """As its administrator may, on a network of this process's own."""
    _unshare(CLONE_NEWNET)
    request = bytearray(struct.pack("16sh14x", b"lo", 0))
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCGIFFLAGS, request)
        struct.pack_into("h", request, 16, struct.unpack_from("h", request, 16)[0] | IFF_UP)
        fcntl.ioctl(sock, SIOCSIFFLAGS, request)
    Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")


def _hide_proc() -> None:
    """As in a container that has none."""
    _unshare(CLONE_NEWNS)
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    _check(_libc.mount(b"none", b"/proc", b"tmpfs", 0, None))


def _become_older_kernel() -> None:
    """As before Linux 6.16: no socket can refuse descriptors."""
    instructions = (_Instruction * 7)(
        (LOAD_NUMBER, 0, 0, 0),
        (JUMP_IF_EQUAL, 1, 0, SETSOCKOPT),
        (JUMP_IF_EQUAL, 0, 3, GETSOCKOPT),
        (LOAD_NUMBER, 0, 0, OPTION),
        (JUMP_IF_EQUAL, 0, 1, SO_PASSRIGHTS),
        (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.ENOPROTOOPT),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),
    )
    _forbid_in_process_by(instructions)


def _forbid_in_thread(number: int) -> None:
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    program = _program(_filter(number))
    _check(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0))


def _forbid_in_process(number: int) -> None:
    _forbid_in_process_by(_filter(number))


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    _set_dumpable(1)  # what it was before; or else it could not look into its own /proc


def _become_somebody() -> None:
    """A user whose number is not that of nobody's equal."""
    os.setgroups([])
    os.setgid(SOMEBODY)
    os.setuid(SOMEBODY)
    _set_dumpable(1)


def _become_somebody_who_traces() -> None:
    """The same user, with the right to read everybody."""
    _check(_libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    _become_somebody()
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    sets[0] = sets[1] = 1 << CAP_SYS_PTRACE
    _check(_libc.syscall(CAPSET, header, sets))
    _set_dumpable(1)


def _hide_processes() -> None:
    """Those that one may not read are not seen in /proc."""
    _unshare(CLONE_NEWNS)
    _check(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    _check(_libc.mount(b"proc", b"/proc", b"proc", 0, b"hidepid=2"))


def _set_dumpable(value: int) -> None:
    """Whether others of the same user may read it."""
    _check(_libc.prctl(PR_SET_DUMPABLE, value, 0, 0, 0))


def _drop_ptrace() -> None:
    """Of the rights of root, let go of that to read everybody; without them there is none."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    # Effective, permitted and inheritable ones: 32 of each, and 32 more of each.
    sets = (ctypes.c_uint32 * 6)()
    _check(_libc.syscall(CAPGET, header, sets))
    for index in range(3):
        sets[index] &= ~(1 << CAP_SYS_PTRACE)
    _check(_libc.syscall(CAPSET, header, sets))


def _unshare(flags: int) -> None:
    _check(_libc.unshare(flags))


def _enter_pid_namespace() -> None:
    """Only children are in it: one goes on, and its parent ends as it does."""
    _unshare(CLONE_NEWPID)
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


WAYS: dict[str, Callable[[], None]] = {
    "nobody": _become_nobody,
    "somebody": _become_somebody,
    "somebody who traces": _become_somebody_who_traces,
    "hidden processes": _hide_processes,
    "no ptrace": _drop_ptrace,
    "undumpable": lambda: _set_dumpable(0),
    "EPERM": lambda: _forbid_in_process(errno.EPERM),
    "ENOSYS": lambda: _forbid_in_process(errno.ENOSYS),
    "older kernel": _become_older_kernel,
    "EPERM in the thread": lambda: _forbid_in_thread(errno.EPERM),
    "pid namespace": _enter_pid_namespace,
    "network namespace": lambda: _unshare(CLONE_NEWNET),
    "user namespace": lambda: _unshare(CLONE_NEWUSER),
    "no /proc": _hide_proc,
    "no IPv6": _have_no_ipv6,
    "IPv6 disabled": _disable_ipv6,
}


def protect(address: int, length: int, protection: int) -> None:
    """Change what may be done with pages of this process (mprotect(2))."""
    _check(_libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(length), protection))
