"""HAProxy's log lines turned into the lines of Heroku's router (Heroku: http-routing, error-codes)."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

FIELDS = (
    "%[var(txn.app)]",
    "%[var(txn.code)]",
    "%s",  # the server: dyno and generation
    "%ts",  # who ended it, and in which phase
    "%ST",
    "%B",
    "%TR",
    "%Tw",
    "%Tc",
    "%Tr",
    "%Ta",
    "%ci",
    "%sslv",
    'method=%HM path=\\"%HU\\" host=%[var(txn.host)] request_id=%[var(txn.id)]',  # this much HAProxy can say itself
    "%[var(txn.fwd)]",
)
LOG_FORMAT = "\\t".join(FIELDS)
COUNT = len(FIELDS)
QUOTES = 2  # in the part that HAProxy made

DESCRIPTIONS: Mapping[bytes, bytes] = {
    b"H10": b"App crashed",
    b"H11": b"Backlog too deep",
    b"H12": b"Request timeout",
    b"H13": b"Connection closed without response",
    b"H14": b"No web processes running",
    b"H15": b"Idle connection",
    b"H17": b"Poorly formatted HTTP response",
    b"H18": b"Server Request Interrupted",
    b"H19": b"Backend connection timeout",
    b"H20": b"App boot timeout",
    b"H21": b"Backend connection refused",
    b"H26": b"Request Error",
    b"H27": b"Client Request Interrupted",
    b"H28": b"Client Connection Idle",
    b"H80": b"Maintenance mode",
    b"H81": b"Blank app",
    b"H99": b"Platform error",
}
LEVELS: Mapping[bytes, bytes] = {b"H27": b"warning", b"H28": b"warning", b"H80": b"info", b"H81": b"info"}
STATUSES: Mapping[bytes, bytes] = {b"H27": b"499", b"H28": b"499", b"H81": b"502"}  # the others: 503
CAUSES: Mapping[bytes, bytes] = {b"400": b"bad chunk", b"417": b"unsupported expect header value"}  # of H26
SOCKS: Mapping[bytes, bytes] = {b"H18": b" sock=backend", b"H27": b" sock=client"}
OF_DYNO = frozenset({b"H12", b"H13", b"H17"})  # the dyno was reached, and no byte of a response was passed on
NOT_FORWARDED = frozenset({b"<NOSRV>", b"-", b""})
ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")


class Request(NamedTuple):
    """One request, at its end. ``line``: as Heroku's router logs it, with its newline. Text is as HAProxy wrote it.

    ``service``: milliseconds from the request's arrival at the dyno to the end of the response; -1 if none was reached.
    """

    app_id: bytes
    dyno: bytes
    status: bytes
    code: bytes
    service: int
    size: int
    line: bytes


class Limits(NamedTuple):
    """What HAProxy was told, in milliseconds: by it, what the router ended is told apart from what the dyno ended."""

    first_byte: int
    connect: int


def read(lines: Iterable[bytes], limits: Limits) -> list[Request]:
    """The requests among HAProxy's lines that belong to an app; what is no request, or nobody's, is left out."""
    found = []
    for line in lines:
        fields = line.split(b"\t", COUNT - 1)
        if len(fields) == COUNT and fields[0] != b"-":
            if fields[1] == b"-" and fields[3] == b"--":
                found.append(ordinary(fields))
            else:
                found.append(troubled(fields, limits))
    return found


def ordinary(fields: list[bytes]) -> Request:
    """A request that a dyno answered: nearly all are, so that this is what the log costs."""
    app, _, server, _, status, size, t_head, t_queue, t_connect, _, t_all, client, tls, text, fwd = fields
    dyno = server[: server.find(b":")]
    service = int(t_all) - int(t_head) - int(t_queue) - int(t_connect)
    if text.count(b'"') != QUOTES or b'path="/' not in text or b'"' in fwd:
        text, fwd = tidied(text, fwd)
    line = b'at=info %b fwd="%b" dyno=%b connect=%bms service=%dms status=%b bytes=%b protocol=%b\n' % (
        text,
        client if fwd == b"-" else fwd,
        dyno,
        t_connect,
        service,
        status,
        size,
        b"http" if tls == b"-" else b"https",
    )
    return Request(app, dyno, status, b"", service, int(size), line)


def troubled(fields: list[bytes], limits: Limits) -> Request:
    """A request that the router answered, or that ended otherwise than it should."""
    app, code, server, _, status, size, t_head, t_queue, t_connect, _, t_all, client, tls, text, fwd = fields
    code = code_of(fields, limits) if code == b"-" else code
    connected = t_connect[:1] != b"-"
    dyno = b"" if server in NOT_FORWARDED else server.partition(b":")[0]
    service = int(t_all) - int(t_head) - int(t_queue) - int(t_connect) if connected else -1
    at, sock = b"at=info", b""
    if code:
        at = b'at=%b code=%b desc="%b"' % (LEVELS.get(code, b"error"), code, DESCRIPTIONS[code])
        if code == b"H26":  # of which HAProxy's answer tells what it was
            at += b' cause="%b"' % CAUSES.get(status, b"bad header")
        else:
            status = STATUSES.get(code, b"503")
        sock = SOCKS.get(code, b"")
        size = size if code == b"H15" else b"0" if code in OF_DYNO else b""
    text, fwd = tidied(text, client if fwd == b"-" else fwd)
    line = b'%b %b fwd="%b" dyno=%b connect=%b service=%b status=%b bytes=%b protocol=%b%b\n' % (
        at,
        text,
        fwd,
        dyno,
        t_connect + b"ms" if connected else b"",
        b"%dms" % service if connected else b"",
        status,
        size,
        b"http" if tls == b"-" else b"https",
        sock,
    )
    return Request(app, dyno, status, code, service, int(size or 0), line)


def tidied(text: bytes, fwd: bytes) -> tuple[bytes, bytes]:
    """No scheme and host in the path; and no quote that a client sent: nobody adds keys of their own to the line."""
    head, _, rest = text.partition(b'path="')
    target, _, tail = rest.rpartition(b'" host=')
    if target[:1] != b"/":
        target = ABSOLUTE.sub(b"", target, count=1) or b"/"
    return b'%bpath="%b" host=%b' % (head, target.replace(b'"', b"%22"), tail), fwd.replace(b'"', b"")


def code_of(fields: list[bytes], limits: Limits) -> bytes:
    """Heroku's code for the way in which HAProxy saw a request end; b"" if that was in order.

    HAProxy's first letter is who ended it: client, server, proxy; in lower case: by saying nothing for too long. The
    second is when: while the request came in, queueing, connecting, waiting for headers, in the data.
    """
    _, _, server, end, status, _, t_head, t_queue, t_connect, t_response, t_all, *_ = fields
    who, phase = end[:1], end[1:2]
    waited = int(t_all) - max(int(t_head), 0) - max(int(t_queue), 0)
    if status == b"101" and t_response[:1] != b"-":
        return b"H15" if who in b"cs" else b""  # either side may hang up a tunnel
    if who == b"C":
        return b"H27"
    if who == b"c":
        return b"H28" if phase in b"HDQCR" else b""
    if end[:2] == b"LH":
        return b"H12" if waited - max(int(t_connect), 0) >= limits.first_byte - 1 else b"H17"
    if who == b"P":
        if status == b"400":  # not the dyno's: that would have been in order
            return b"H26"
        return b"H17" if phase in b"HD" else b""
    if who in b"Ss":
        if phase == b"Q":
            return b"H11"
        if phase == b"C":
            late = who == b"s" or (server in NOT_FORWARDED and waited >= limits.connect)
            return b"H19" if late else b"H21"
        if phase in b"DL":
            return b"H15" if who == b"s" else b"H18"
        return b"H12" if who == b"s" or waited - max(int(t_connect), 0) >= limits.first_byte - 1 else b"H13"
    return b"H99" if who in b"RIKUD" and who else b""
