"""Who listens on a TCP port of this host, learned from the kernel without ever connecting."""

import os
import pwd
import struct

from procman.supervisor.proctable import command_of, snapshot
from procman.typed import Iterator, Mapping

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h: ask for the TCP sockets in one state.
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, DONE, ERROR = 4, 20, 0x301, 3, 2
TCP, LISTEN = 6, 10
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
REQUEST = struct.Struct("=BBBxI48x")  # family, protocol, extensions, states; an all-zero socket id
PORT, UID_INODE = struct.Struct("!4xH"), struct.Struct("=64xII")  # within an answer

Listeners = dict[int, dict[int, int]]


def listeners() -> Listeners:
    """Every port that is listened on, over IPv4 and IPv6, with inode and user id of the sockets."""
    try:
        return ask_kernel()
    except OSError:
        return read_tables()


def ask_kernel() -> Listeners:
    """By netlink, which walks the listening sockets only. Raises OSError where that is not to be had."""
    import _socket as socket  # noqa: PLC0415 - its better half costs 3 ms more before the first dyno runs

    found: Listeners = {}
    netlink = socket.socket(getattr(socket, "AF_NETLINK", -1), socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            request = REQUEST.pack(family, TCP, 0, 1 << LISTEN)
            netlink.send(HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 0, 0) + request)
            while read_answer(netlink.recv(1 << 16), found):
                pass
    finally:
        netlink.close()
    return found


def read_answer(data: bytes, found: Listeners) -> bool:
    """Collect what one datagram tells; False when it was the last."""
    at = 0
    while at < len(data):
        length, kind, *_ = HEADER.unpack_from(data, at)
        body = at + HEADER.size
        if kind == DONE:
            return False
        if kind == ERROR:
            raise OSError(-struct.unpack_from("=i", data, body)[0], "sock_diag")
        (port,) = PORT.unpack_from(data, body)
        uid, inode = UID_INODE.unpack_from(data, body)
        found.setdefault(port, {})[inode] = uid
        at += (length + 3) & ~3
    return True


def read_tables() -> Listeners:
    """From /proc/net: a hundred times dearer, as all connections are walked. Empty where there is no /proc."""
    found: Listeners = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, "rb") as file:
                lines = file.read().split(b"\n")[1:-1]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == b"0A":
                port = int(fields[1].rpartition(b":")[2], 16)
                found.setdefault(port, {})[int(fields[9])] = int(fields[7])
    return found


def sockets_of(pid: int) -> Iterator[int]:
    """Inodes of the sockets a process holds open; nothing when it may not be looked at."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])


def is_bound(port: int, root: int) -> bool:
    """Whether the process ``root``, or one that belongs to it, listens on ``port``."""
    inodes = listeners().get(port)
    if inodes:
        members = snapshot().family([root])
        return any(inode in inodes for member in members for inode in sockets_of(member.pid))
    return not os.path.exists("/proc/net/tcp") and not can_bind(port)


def holder(inodes: Mapping[int, int]) -> str:
    """Who holds one of these sockets, in words."""
    for pid in snapshot().rows:
        if any(inode in inodes for inode in sockets_of(pid)):
            return f"{command_of(pid)[:80]} (pid {pid})"
    uid = next(iter(inodes.values()))
    try:
        return f"a process of user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"a process of user {uid}"


def can_bind(port: int) -> bool:
    """Whether the port is free, by binding it for a moment: for hosts without /proc."""
    import socket  # noqa: PLC0415 - only where /proc does not answer

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
