"""Who listens on a TCP port of this host, learned from the kernel's tables without ever connecting."""

import os
import pwd
from collections.abc import Iterator, Mapping

from procman.supervisor.proctable import command_of, snapshot

LISTEN = b"0A"


def listeners() -> dict[int, dict[int, int]]:
    """Every port that is listened on, over IPv4 and IPv6, with inode and user id of the sockets."""
    found: dict[int, dict[int, int]] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, "rb") as file:
                lines = file.read().split(b"\n")[1:-1]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTEN:
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
