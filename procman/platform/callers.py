"""Who calls, as far as a connection tells: an address, and on this host whose process it is.

The API listens on loopback, and whoever comes through ssh comes from there, too; the user of this host, who is another
for each ssh login, tells them apart (Linux).
"""

import struct
from ipaddress import IPv6Address, ip_address

from procman.core.grant import Place

SOCKET = "socket"
FAMILIES = ("tcp", "tcp6")


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
    """Whose socket the client's end is, by the kernel's table of this host; None when it does not say."""
    wanted = [word(client), word(server)]
    for family in FAMILIES:
        try:
            with open(f"/proc/net/{family}", encoding="ascii") as table:
                for line in table:
                    fields = line.split()
                    if fields[1:3] == wanted:
                        return int(fields[7])
        except OSError:
            return None
    return None


def word(place: Place) -> str:
    """As the table has it: the address's words in the host's order, hexadecimal."""
    packed = ip_address(place[0]).packed
    words = struct.unpack(f"!{len(packed) // 4}I", packed)
    return struct.pack(f"={len(words)}I", *words).hex().upper() + f":{place[1]:04X}"
