"""The router's texts, pure: configuration, commands, arrangement, log lines."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.router import Server, Settings, Site, Timeouts, pages, waiting
from procman.router.arrangement import Arrangement, Slot, arrange, decode, encode, forget
from procman.router.configuration import Secrets, build
from procman.router.requests_log import DESCRIPTIONS, Limits, read
from procman.router.runtime_commands import change_maps, complaint, enter, file_text, leave, maps_of, quoted, read_file
from procman.router.traffic import Traffic

GOLDEN = Path(__file__).parent / "router_golden"
TIMES = Timeouts()
OLD = (Server("web.1", 1, 20001), Server("web.2", 1, 20002))
NEW = (Server("web.1", 2, 20003), Server("web.2", 2, 20004))
START = Arrangement(4, 2)


def site(*servers: Server, app_id="a", **options) -> Site:
    return Site(app_id, app_id, hosts=(f"{app_id}.localhost",), servers=servers, **options)


ARRANGED = Arrangement(
    2,
    1,
    {
        "app-0": Slot("a", OLD, (Server("web.3", 1, 20005),)),
        "sticky-0": Slot("b", (Server("web.1", 7, 443, "2001:db8::1"),)),
    },
    {"a": "app-0", "b": "sticky-0"},
)
TEXTS = {
    "plain.cfg": build(Settings("127.0.0.1:8080"), ARRANGED, Secrets("5ec4e7"), "golden"),
    "tls.cfg": build(
        Settings("*:80", "[::]:443", certificate="/x", user="haproxy", timeouts=Timeouts(1, 2, 3, 4, 5, 6, 0.25)),
        START._replace(plain=1, sticky=1),
        Secrets("5ec4e7"),
        "golden",
    ),
    "wait.lua": waiting.script(75),
    **{name: pages.template(name) for name in pages.TEXTS},
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_as_reviewed(name, request):
    path = GOLDEN / name
    if request.config.getoption("--update-transcripts"):
        path.write_text(TEXTS[name])
    assert TEXTS[name] == path.read_text()


def test_an_app_stays_in_its_slot_as_it_scales():
    first = arrange(START, [site(*OLD)])
    assert first.routes == {"a": "app-0"}
    scaled = arrange(first, [site(OLD[0])])
    assert scaled.slots == {"app-0": Slot("a", OLD[:1], OLD[1:])}
    assert leave(first, scaled) == ["set server app-0/web.2:1 state maint"]
    back = arrange(scaled, [site(*OLD)])
    assert enter(scaled, back, TIMES) == ["set server app-0/web.2:1 state ready"]
    moved = arrange(first, [site(OLD[0], OLD[1]._replace(port=9))])
    assert enter(first, moved, TIMES) == [
        "set server app-0/web.2:1 addr 127.0.0.1 port 9",
        "set server app-0/web.2:1 state ready",
    ]


def test_a_new_generation_is_switched_to_by_one_command():
    first = arrange(START, [site(*OLD)])
    second = arrange(first, [site(*NEW)])
    assert second.routes == {"a": "app-1"}
    assert second.slots == {"app-0": Slot("a", (), OLD), "app-1": Slot("a", NEW)}
    before, after = maps_of([site(*OLD)], first), maps_of([site(*NEW)], second)
    assert change_maps(before, after) == ["set map apps.map a up:app-1"]
    assert not leave(first, second), "who was sent to the old slot a moment ago still finds its servers"
    commands = enter(first, second, TIMES)
    assert [command.split(" ")[0] for command in commands] == ["add", "enable", "enable"] * 2
    gone = forget(forget(second, "app-0", "web.1:1"), "app-0", "web.2:1")
    assert gone.slots == {"app-1": Slot("a", NEW)}
    assert arrange(gone, [site(*OLD)]).routes == {"a": "app-0"}


def test_there_is_nothing_to_switch_from_when_no_old_dyno_answers():
    first = arrange(START, [site(*OLD)])
    assert arrange(first, [site(*NEW)], frozenset()).routes == {"a": "app-0"}
    assert arrange(first, [site(*NEW)], frozenset({("app-0", "web.2:1")})).routes == {"a": "app-1"}
    empty = arrange(first, [site(state="crashed")])
    assert arrange(empty, [site(*NEW)]).routes == {"a": "app-0"}


def test_session_affinity_is_another_kind_of_slot():
    first = arrange(START, [site(*OLD)])
    sticky = arrange(first, [site(*OLD, session_affinity=True)])
    assert sticky.routes == {"a": "sticky-0"}
    assert sticky.slots["app-0"] == Slot("a", (), OLD)
    assert "enable dynamic-cookie backend sticky-0" in enter(first, sticky, TIMES)


def test_slots_grow_before_they_are_needed():
    arranged = START
    for count in range(1, 40):
        sites = [site(*OLD, app_id=f"a{n}") for n in range(count)]
        arranged = arrange(arranged, sites)
        assert len(arranged.slots) * 2 <= arranged.plain
    gone = arrange(arranged, [])
    assert set(gone.left()) == set(gone.slots)
    assert not gone.routes


SERVERS = st.lists(st.sampled_from(OLD + NEW), unique_by=lambda server: server.label).map(tuple)
STEPS = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.tuples(SERVERS, st.booleans()), max_size=3), min_size=1, max_size=8
)


@given(STEPS)
def test_whatever_is_routed_every_server_is_in_one_place_and_comes_back_from_disk(steps):
    arranged = START
    for step in steps:
        sites = [site(*servers, app_id=name, session_affinity=kind) for name, (servers, kind) in step.items()]
        before, arranged = arranged, arrange(arranged, sites)
        assert set(arranged.routes) == set(step)
        for one in sites:
            slot = arranged.slots[arranged.routes[one.app_id]]
            assert (slot.app_id, slot.serving) == (one.app_id, one.servers)
        for name, slot in arranged.slots.items():
            assert len({server.label for server in slot.servers()}) == len(slot.servers())
            assert name in arranged.names()
        places = {command.split(" ")[2] for command in enter(before, arranged, TIMES) if command[:3] == "add"}
        known = {f"{name}/{server.label}" for name, slot in before.slots.items() for server in slot.servers()}
        assert not places & known
        assert decode(encode(arranged)) == arranged


TORN = [b"", b"[]", b"{}", b'[1, 1, {}, {"a": "app-0"}]', b'[1, 1, {"app-0": ["a", [["x"]], []]}, {}]']


@pytest.mark.parametrize("data", TORN)
def test_a_torn_arrangement_is_refused(data):
    with pytest.raises(ValueError):
        decode(data)


def test_maps_are_changed_by_what_differs():
    sites = [site(*OLD, error_page_url="https://x/?a=1&b=2;c"), site(app_id="b", state="none")]
    arranged = arrange(START, sites)
    maps = maps_of(sites, arranged)
    assert maps.apps == {"a": "up:app-0", "b": "none:app-1"}
    assert maps.error_pages == {"a": "https://x/?a=1&amp;b=2;c"}
    assert read_file(file_text(maps.error_pages).encode()) == maps.error_pages
    empty = maps_of([], START)
    assert change_maps(empty, maps)[-2:] == ["add map hosts.map a.localhost a", "add map hosts.map b.localhost b"]
    assert r"add map error-pages.map a https://x/?a=1&amp\;b=2\;c" in change_maps(empty, maps)
    assert change_maps(maps, empty)[:2] == ["del map hosts.map a.localhost", "del map hosts.map b.localhost"]
    assert not change_maps(maps, maps)
    assert quoted("a b;'\"\\") == "a\\ b\\;\\'\\\"\\\\"


def test_only_what_is_no_success_is_a_complaint():
    assert complaint("\nNew server registered.\n\n\nServer deleted.\n") is None
    assert complaint("\nNo such server.\n") == "No such server."


LIMITS = Limits(first_byte=30_000, connect=5_000)


def line(end="--", code="-", server="web.1:5", status=200, times="0 0 1 8 9", **other) -> bytes:
    fields = ["app", code, server, end, status, 512, *times.split(" "), "192.0.2.1", other.get("tls", "-")]
    target = other.get("target", "/a?b=c")
    fields += [f'method=GET path="{target}" host=demo.localhost request_id=id', other.get("fwd", "-")]
    return "\t".join(map(str, fields)).encode()


ENDS = [
    ("sH", "0 0 1 -1 30001", "H12"),
    ("SH", "0 0 1 -1 30001", "H12"),
    ("SH", "0 0 1 -1 29990", "H13"),
    ("SH", "5 0 1 -1 100", "H13"),
    ("PH", "0 0 1 -1 3", "H17"),
    ("SD", "0 0 1 2 9", "H18"),
    ("SL", "0 0 1 2 9", "H18"),
    ("sD", "0 0 1 2 55009", "H15"),
    ("sC", "0 0 -1 -1 5000", "H19"),
    ("sQ", "0 -1 -1 -1 5000", "H11"),
    ("SC", "0 0 -1 -1 1000", "H21"),
    ("CH", "0 0 1 -1 9", "H27"),
    ("CD", "0 0 1 2 9", "H27"),
    ("CQ", "0 -1 -1 -1 9", "H27"),
    ("cH", "0 0 1 -1 55000", "H28"),
    ("cD", "0 0 1 2 55000", "H28"),
    ("RC", "0 0 -1 -1 1", "H99"),
    ("IH", "0 0 1 -1 1", "H99"),
    ("--", "0 0 1 8 9", ""),
    ("LR", "0 -1 -1 -1 0", ""),
]


@pytest.mark.parametrize(("end", "times", "code"), ENDS)
def test_how_a_request_ended_has_a_code(end, times, code):
    (request,) = read([line(end, times=times)], LIMITS)
    assert request.code.decode() == code
    if code:
        assert f'code={code} desc="{DESCRIPTIONS[code.encode()].decode()}" method=GET'.encode() in request.line


@pytest.mark.parametrize(("end", "code"), [("CD", ""), ("SD", ""), ("--", ""), ("cD", "H15"), ("sD", "H15")])
def test_a_tunnel_may_be_ended_by_either_side(end, code):
    (request,) = read([line(end, status=101)], LIMITS)
    assert request.code.decode() == code


def test_a_line_is_herokus():
    (good,) = read([line(tls="TLSv1.3", fwd="203.0.113.9, 192.0.2.1", target="http://demo.localhost/a")], LIMITS)
    assert good.line == (
        b'at=info method=GET path="/a" host=demo.localhost request_id=id fwd="203.0.113.9, 192.0.2.1" dyno=web.1 '
        b"connect=1ms service=8ms status=200 bytes=512 protocol=https\n"
    )
    (bad,) = read([line("LR", code="H10", server="<NOSRV>", status=503, times="0 -1 -1 -1 0")], LIMITS)
    assert bad.line == (
        b'at=error code=H10 desc="App crashed" method=GET path="/a?b=c" host=demo.localhost request_id=id '
        b'fwd="192.0.2.1" dyno= connect= service= status=503 bytes= protocol=http\n'
    )


def test_nobody_adds_keys_to_a_line():
    for end in ("--", "CD"):
        check_nothing_added(end)


def check_nothing_added(end):
    (request,) = read([line(end, target='/" dyno=web.9 x="', fwd='1.1.1.1" status=999, 192.0.2.1')], LIMITS)
    assert b'path="/%22 dyno=web.9 x=%22"' in request.line
    assert b'fwd="1.1.1.1 status=999, 192.0.2.1" dyno=web.1' in request.line


def test_lines_that_are_no_requests_are_passed_over():
    assert not read([b"", b"Server app-0/web.1 is DOWN", line().replace(b"app\t", b"-\t", 1), b"\t" * 5], LIMITS)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=50))
def test_percentiles_are_right_to_a_fifth(times):
    traffic = Traffic()
    traffic.add(read([line(times=f"0 0 0 0 {time}") for time in times], LIMITS))
    counts = traffic.counts({})["app"]["web.1"]
    true = sorted(times)[(len(times) - 1) // 2]
    assert true * 0.99 <= counts.percentile(0.5) <= max(true * 1.25, true + 2)
    traffic.forget(["app"])
    assert not traffic.counts({})
