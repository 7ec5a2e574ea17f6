"""The text of HAProxy's configuration. Pure; every word that is not ours was checked by ``sites`` or ``settings``."""

from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from procman.router import pages
from procman.router.arrangement import Arrangement
from procman.router.requests_log import LOG_FORMAT
from procman.router.settings import Settings, Timeouts, split_address
from procman.router.sites import Server

LUA, HOSTS, APPS, CERTIFICATES = "wait.lua", "hosts.map", "apps.map", "certificates.list"
LOG_PIPE, MASTER_SOCKET = "log.fifo", "master.sock"
LOG_VARIABLE = "PROCMAN_LOG"  # in HAProxy's environment: the number under which it finds the log pipe open
HTML = 'content-type "text/html; charset=utf-8"'
HOST = r"^[][a-z0-9_.-]+$"  # as far as its port; others are answered with 400, as is a request without one
REQUEST_ID = "^[A-Za-z0-9+/=-]{20,200}$"
HOP_BY_HOP = ("keep-alive", "te", "trailer")


class Secrets(NamedTuple):
    """``cookie_key``: from which the cookies of session affinity are made, hexadecimal."""

    cookie_key: str


def build(settings: Settings, arrangement: Arrangement, secrets: Secrets, description: str) -> str:
    """The whole file. ``description`` is what HAProxy says of itself when asked: by it we know what it runs."""
    parts = [
        global_section(settings, description),
        frontend("http", settings.http, "http", "", settings.timeouts),
    ]
    if settings.https:
        default = "crt default.pem " if settings.certificate else "strict-sni "
        options = f" ssl {default}crt-list {CERTIFICATES} alpn h2,http/1.1"
        parts.append(frontend("https", settings.https, "https", options, settings.timeouts))
    cookie = (
        "  cookie heroku-session-affinity insert indirect nocache httponly dynamic\n"
        f"  dynamic-cookie-key {secrets.cookie_key}\n"
    )
    parts += [answers_section(), defaults_section("slot", settings), defaults_section("sticky-slot", settings, cookie)]
    parts += [slot_section(name, arrangement, settings) for name in arrangement.names()]
    return "\n".join(parts)


def milliseconds(seconds: float) -> str:
    """As HAProxy writes times."""
    return f"{max(round(seconds * 1000), 1)}ms"


def global_section(settings: Settings, description: str) -> str:
    """Process-wide settings, the log, and what all frontends share."""
    times = settings.timeouts
    user = f"  user {settings.user}\n" if settings.user else ""
    return f"""\
# Written by procman; changes are lost.
global
{user}  description {description}
  lua-load {LUA}
  noreuseport
  tune.bufsize 32768
  tune.http.maxhdr 1000
  ssl-default-bind-options ssl-min-ver TLSv1.2

defaults front
  mode http
  log "fd@${{{LOG_VARIABLE}}}" len 20000 format raw local3
  log-format "{LOG_FORMAT}"
  timeout client {milliseconds(times.idle)}
  timeout http-request {milliseconds(times.head)}
  timeout http-keep-alive {milliseconds(times.keep_alive)}
  option forwardfor if-none
  # A reload lets a client's idle connection have one more request instead of closing it under the client's hands.
  option idle-close-on-response
  # With the same in the slots: a client that leaves is noticed while the dyno thinks.
  option abortonclose
"""


def frontend(name: str, address: str, scheme: str, options: str, times: Timeouts) -> str:
    """One way in. The app is looked up last: nothing that waits may come between that and the slot.

    Most requests are ``routed`` at the first look, and for them no rule is read after ``allow``. What others need
    stands below it, and ends with another look.
    """
    host, port = split_address(address)
    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lookup = (
        f"  http-request set-var(txn.app) var(txn.host),map_str({HOSTS})\n"
        f"  http-request set-var(txn.route) var(txn.app),map_str({APPS})\n"
    )
    hops = "".join(f"  http-request del-header {header}\n" for header in HOP_BY_HOP)
    return f"""\
frontend {name} from front
  bind {bind}{options}
  acl bare method GET HEAD
  acl expects req.hdr(expect) -m found
  acl routed var(txn.route) -m beg up:
  acl named req.fhdr(x-request-id) -m reg {REQUEST_ID}
  http-request set-header X-Request-Id %[uuid()] unless named {{ req.fhdr_cnt(x-request-id) eq 1 }}
  http-request set-var(txn.id) req.fhdr(x-request-id)
  http-request set-var-fmt(txn.fwd) "%[req.fhdr(x-forwarded-for)], %[src]" if {{ req.fhdr(x-forwarded-for) -m found }}
  http-request set-header X-Forwarded-For %[var(txn.fwd)] if {{ var(txn.fwd) -m found }}
  http-request set-header X-Forwarded-Proto {scheme}
  http-request set-header X-Forwarded-Port {port}
  http-request set-header X-Request-Start %[date(0,ms)]
  http-request add-header Via "1.1 procman"
{hops}  http-request del-header proxy -m beg
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower
{lookup}  http-request allow if routed bare or routed !expects !{{ method CONNECT }}
  http-request return status 405 if {{ method CONNECT }}
  http-request set-var(txn.code) str(H26) if !bare expects !{{ req.hdr(expect) -i 100-continue }}
  http-request return status 417 if !bare expects !{{ req.hdr(expect) -i 100-continue }}
  http-request wait-for-body time {milliseconds(times.idle)} at-least 1 if !bare expects
  http-request del-header expect if !bare expects
  http-request unset-var(txn.app)
  http-request unset-var(txn.route)
{lookup}  http-request lua.procman_settle unless routed
  use_backend %[var(txn.route),field(2,:)] if routed
  default_backend answers
"""


def answers_section() -> str:
    """What the router says itself when there is no dyno to ask."""
    page = f"{HTML} lf-file"
    return f"""\
defaults answer
  mode http

backend answers from answer
  http-request return status 400 if {{ var(txn.code) -m str unknown }} !{{ var(txn.host) -m reg {HOST} }}
  http-request return status 404 {page} {pages.UNKNOWN} if {{ var(txn.code) -m str unknown }}
  http-request return status 503 {page} {pages.MAINTENANCE} if {{ var(txn.code) -m str H80 }}
  http-request return status 502 {page} {pages.BLANK} if {{ var(txn.code) -m str H81 }}
  http-request return status 503 {page} {pages.ERROR}
"""


def defaults_section(name: str, settings: Settings, more: str = "") -> str:
    """What all slots of a kind have in common. 502 and 504 of HAProxy's own become Heroku's 503."""
    times = settings.timeouts
    errors = "".join(f"  http-error status {code} {HTML} lf-file {pages.ERROR}\n" for code in (500, 502, 503, 504))
    return f"""\
defaults {name}
  mode http
  balance random(1)
  retries 9
  option redispatch 1
  option abortonclose
  timeout connect {milliseconds(times.connect)}
  timeout server {milliseconds(times.idle)}
  timeout tunnel {milliseconds(times.idle)}
  timeout queue {milliseconds(times.connect)}
{errors}  acl own_answer var(txn.answered) -m found
  http-response set-var(txn.answered) bool(true) if {{ status 502 504 }}
  http-response del-header keep-alive
  http-response add-header Via "1.1 procman"
  http-after-response set-status 503 reason "Service Unavailable" if {{ status 502 504 }} !own_answer
{more}"""


def slot_section(name: str, arrangement: Arrangement, settings: Settings) -> str:
    """One slot, its servers, and its rules: those that mean another backend, or none, when they stand in defaults.

    For most requests no rule is read after ``allow``; so the others stand here too, as defaults come first.

    ``connslots`` is 0 if no server is up, else not. (``nbsrv`` would do, but is 0 in a worker that a reload retired.)
    """
    times, backlog = settings.timeouts, settings.backlog
    kind = "sticky-slot" if name.startswith("sticky") else "slot"
    slot = arrangement.slots.get(name)
    lines: Iterable[str] = ()
    if slot:
        lines = [server_line(server, times, "") for server in slot.serving]
        lines += [server_line(server, times, " disabled") for server in slot.leaving]
    return f"""\
backend {name} from {kind}
  acl bare method GET HEAD
  acl empty connslots({name}) eq 0
  acl busy be_conn gt {backlog}
  http-request allow if bare !empty !busy
  http-request lua.procman_await if empty
  http-request set-var(txn.room) nbsrv,mul({backlog}) if busy
  http-request set-var(txn.code) str(H11) if busy {{ nbsrv gt 0 }} {{ be_conn,sub(txn.room) gt 0 }}
  http-request return status 503 {HTML} lf-file {pages.ERROR} if {{ var(txn.code) -m found }}
  # A body that is not here yet is given its time: the limit of the first byte would count from before its end.
  acl chunked req.fhdr(transfer-encoding) -m found
  http-request set-var(txn.length) req.body_len unless bare
  acl more_to_come req.body_size,sub(txn.length) gt 0
  http-request set-var(txn.upload) bool(true) if !bare chunked
  http-request set-var(txn.upload) bool(true) if !bare more_to_come
  tcp-response inspect-delay {milliseconds(times.first_byte)}
  tcp-response content accept if {{ internal.htx.nbblks gt 0 }}
  tcp-response content lua.procman_unanswered if {{ wait_end }}
{"".join(lines)}"""


def server_line(server: Server, times: Timeouts, more: str) -> str:
    """A dyno as HAProxy reads it from the file."""
    return f"  server {server.label} {address_of(server)} {server_options(server, times)}{more}\n"


def address_of(server: Server) -> str:
    """Host and port."""
    return f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"


def server_options(server: Server, times: Timeouts) -> str:
    """A refused or failed connection takes a server out until it accepts one again (Heroku's quarantine).

    Servers that are fine are looked at once an hour: what matters is seen from the requests. ``id`` is what HAProxy
    places a server by when it chooses at random (2.6 places all that are added while it runs in one spot, else), and
    ``weight`` in how many spots: many make the shares even.
    """
    pause = milliseconds(times.quarantine)
    return (
        f"id {crc32(server.label.encode()) >> 1 or 1} weight 30 "
        f"check inter 1h fastinter {pause} downinter {pause} rise 1 fall 1 "
        "observe layer4 error-limit 1 on-error mark-down pool-max-conn 10000 pool-purge-delay 5s"
    )
