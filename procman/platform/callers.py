"""Who calls, as far as a connection tells: an address, and on this host whose process it is.

The API listens on loopback, and whoever comes through ssh comes from there, too; the user of this host, who is another
for each ssh login, tells them apart (Linux).
"""

import socket
import struct
from ipaddress import IPv6Address, ip_address

from procman.core.grant import Place

SOCKET = "socket"
# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h: ask for one TCP socket, by its ends.
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, ASK_ONE, TCP, ANY = 4, 20, 1, 6, 0xFFFFFFFF
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
REQUEST = struct.Struct("=BBBxI")  # family, protocol, extensions, states
ENDS, COOKIE = struct.Struct("!HH16s16s"), struct.Struct("=III")  # ports and addresses; interface, cookie
UID_INODE = struct.Struct("=64xII")  # within an answer


def caller_of(client: Place | None, server: Place | None) -> str:
    """A name for the other end of a connection, to count by; the same for all of an IPv6 host's network."""
    if client is None or not client[0]:
        return SOCKET
    address = ip_address(client[0].partition("%")[0])
    if address.is_loopback and server is not None:
        uid = user_of(client, server)
        return f"user {uid}" if uid is not None else "loopback"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


def user_of(client: Place, server: Place) -> int | None:
    """Whose socket the client's end is, by the kernel; None when it does not say.

    It is asked for that one: its table has every connection of the host, and may take it a quarter of a second. A
    socket that was closed has no inode any more, and no user: the kernel says 0 then, which is root's number.
    """
    here, there = ip_address(client[0].partition("%")[0]), ip_address(server[0].partition("%")[0])
    family = socket.AF_INET if here.version == 4 else socket.AF_INET6
    request = REQUEST.pack(family, TCP, 0, ANY) + ENDS.pack(client[1], server[1], here.packed, there.packed)
    request += COOKIE.pack(0, ANY, ANY)
    try:
        with socket.socket(getattr(socket, "AF_NETLINK", -1), socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
            netlink.send(HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, ASK_ONE, 0, 0) + request)
            answer = netlink.recv(4096)
    except OSError:
        return None
    if HEADER.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:  # an error: there is no such socket
        return None
    uid, inode = UID_INODE.unpack_from(answer, HEADER.size)
    return int(uid) if inode else None
