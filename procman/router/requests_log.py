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
    "%rc",
    "%HM",
    "%[var(txn.host)]",
    "%[var(txn.id)]",
    "%ci",
    "%sslv",
    "%HU",
    "%[var(txn.fwd)]",  # last: only this one may hold a tab that HAProxy did not escape
)
LOG_FORMAT = "\\t".join(FIELDS)

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
    b"H27": b"Client Request Interrupted",
    b"H28": b"Client Connection Idle",
    b"H80": b"Maintenance mode",
    b"H81": b"Blank app",
    b"H99": b"Platform error",
}
LEVELS: Mapping[bytes, bytes] = {b"H27": b"warning", b"H28": b"warning", b"H80": b"info", b"H81": b"info"}
STATUSES: Mapping[bytes, bytes] = {b"H27": b"499", b"H28": b"499", b"H81": b"502"}  # the others: 503
SOCKS: Mapping[bytes, bytes] = {b"H18": b" sock=backend", b"H27": b" sock=client"}
OF_DYNO = frozenset({b"H12", b"H13", b"H17"})  # the dyno was reached, and no byte of a response was passed on
NOT_FORWARDED = frozenset({b"<NOSRV>", b"-", b""})
ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")


class Request(NamedTuple):
    """One request, at its end. ``line``: as Heroku's router logs it, without a newline.

    ``service``: milliseconds from the request's arrival at the dyno to the end of the response; -1 if none was reached.
    """

    app_id: str
    dyno: str
    status: int
    code: str
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
        fields = line.split(b"\t", 18)
        if len(fields) == 19 and fields[0] != b"-":
            found.append(request_of(fields, limits))
    return found


def request_of(fields: list[bytes], limits: Limits) -> Request:
    """One line's fields as a request."""
    app, code, server, end, status, size, t_head, t_queue, t_connect, _, t_all, _, *rest = fields
    method, host, ident, client, tls, target, fwd = rest
    if code == b"-":
        code = b"" if end == b"--" else code_of(fields, limits)
    connected = t_connect[:1] != b"-"
    dyno = b"" if server in NOT_FORWARDED else server.partition(b":")[0]
    service = int(t_all) - int(t_head) - int(t_queue) - int(t_connect) if connected else -1
    at = b"at=info"
    sock = b""
    if code:
        at = b'at=%b code=%b desc="%b"' % (LEVELS.get(code, b"error"), code, DESCRIPTIONS[code])
        status = STATUSES.get(code, b"503")
        sock = SOCKS.get(code, b"")
        size = size if code == b"H15" else b"0" if code in OF_DYNO else b""
    if target[:1] != b"/":
        target = ABSOLUTE.sub(b"", target, count=1) or b"/"
    if b'"' in target or b'"' in fwd:  # nobody adds keys of their own to the line
        target, fwd = target.replace(b'"', b"%22"), fwd.replace(b'"', b"")
    line = b'%b method=%b path="%b" host=%b request_id=%b fwd="%b" dyno=%b connect=%b service=%b status=%b bytes=%b protocol=%b%b' % (  # noqa: E501
        at,
        method,
        target,
        host,
        ident,
        client if fwd == b"-" else fwd,
        dyno,
        t_connect + b"ms" if connected else b"",
        b"%dms" % service if connected else b"",
        status,
        size,
        b"http" if tls == b"-" else b"https",
        sock,
    )
    return Request(app.decode(), dyno.decode(), int(status), code.decode(), service, int(size or 0), line)


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
    if who == b"P":
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
