"""Numbers about apps: counted from the router's lines and the supervisors' words, kept for a day, shown to others."""

import json
import math
import os
import re
import time
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procman.logs import metrics_history
from procman.logs.histogram import BOUNDS_MS, Histogram, percentile
from procman.logs.metrics import Dyno, Metrics, Row
from procman.logs.metrics_text import render, summary

NOW = 1714557600.0
STAMP = b"2024-05-01T10:00:00.000000+00:00 "


def routed(method=b"GET", status=b"200", service=b"7", path=b"/", error=b"", dyno=b"web.1", connect=b"1") -> bytes:
    """A router line as heroku-model has them."""
    connect, service = (b"%sms" % value if value else b"" for value in (connect, service))
    at = b"at=error %s" % error if error else b"at=info"
    return (
        b'%s method=%s path="%s" host=demo.example.com request_id=5f0c6d0e-8f5e-4a1b-9c55-0d2f7f0e6a11 '
        b'fwd="203.0.113.9" dyno=%s connect=%s service=%s status=%s bytes=512 protocol=http1.1 tls=true\n'
    ) % (at, method, path, dyno, connect, service, status)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_router_lines_are_counted_by_method_status_and_code(metrics):
    lines = routed() * 3 + routed(b"POST", b"404", b"30") + routed(b"BREW", b"200")
    lines += routed(status=b"503", service=b"", connect=b"", dyno=b"", error=b'code=H10 desc="App crashed"')
    lines += routed(status=b"503", service=b"30001", error=b'code=H18 desc="Server Request Interrupted" sock=backend')
    lines += routed(status=b"", service=b"812", error=b'code=H27 desc="Client Request Interrupted"')
    metrics.routed("a", lines, NOW)
    metrics.routed("a", STAMP + b"heroku[router]: " + routed(), NOW)
    app = metrics.apps["a"]
    assert app.requests == {
        ("GET", "2xx"): 4,
        ("POST", "4xx"): 1,
        ("OTHER", "2xx"): 1,
        ("GET", "5xx"): 2,
        ("GET", "none"): 1,
    }
    assert app.codes == {"H10": 1, "H18": 1, "H27": 1}
    assert app.bytes == 9 * 512
    assert app.service.sum == 7 * 5 + 30 + 30001 + 812
    assert sum(app.connect.counts) == 8


def test_no_path_can_pass_for_other_keys(metrics):
    for path in (
        b'/?" host=x request_id= fwd= dyno= connect= service= status=500 bytes=',
        b'/"status=500',
        b"/status=500",
    ):
        metrics.routed("a", routed(path=path.replace(b" ", b"%20")), NOW)
    assert metrics.apps["a"].requests == {("GET", "2xx"): 3}


def test_what_is_no_router_line_counts_for_nothing(metrics):
    metrics.routed("a", b"at=info\nsomething else\n\xff\n", NOW)
    assert "a" not in metrics.apps


def test_samples_crashes_and_codes_are_read_from_a_supervisors_lines(metrics):
    source = STAMP + b"heroku[web.1]: source=web.1 dyno=heroku.12.0f0e "
    lines = source + b"sample#load_avg_1m=0.42 sample#load_avg_5m=0.31 sample#load_avg_15m=0.20\n"
    lines += source + b"sample#memory_total=84.50MB sample#memory_rss=80.25MB sample#memory_quota=512.00MB\n"
    lines += STAMP + b"heroku[web.1]: Error R14 (Memory quota exceeded)\n"
    lines += STAMP + b"heroku[web.1]: State changed from up to crashed\n"
    lines += STAMP + b"app[web.1]: Error R15 (Memory quota vastly exceeded)\n"
    lines += STAMP + b"app[web.1]: x heroku[web.1]: Error R15 (forged)\n"
    metrics.read("a", lines, NOW)
    app = metrics.apps["a"]
    assert app.dynos == {"web.1": Dyno(84.5 * (1 << 20), 512.0 * (1 << 20), 0.42)}
    assert app.codes == {"R14": 1}
    assert app.restarts == {"web.1": 1}
    metrics.keep_dynos("a", ["web.2"])
    assert app.dynos == {}


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(values, share):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    true = sorted(values)[max(math.ceil(share * len(values)), 1) - 1]
    bucket = bisect_left(BOUNDS_MS, true)
    assert (0, *BOUNDS_MS)[bucket] <= histogram.percentile(share) <= (*BOUNDS_MS, max(values))[bucket]
    assert percentile([histogram, Histogram()], share) == histogram.percentile(share)


def test_percentiles_of_nothing_are_nothing():
    assert Histogram().percentile(0.99) == 0.0


def test_slots_close_as_time_goes_by_and_a_day_of_them_is_kept():
    metrics = Metrics(slot_s=60, slots=5)
    for minute in range(8):
        metrics.routed("a", routed(service=b"%d" % (minute + 1)), NOW + 60 * minute)
    metrics.sampled("a", "web.1", Dyno(100.0, 512.0, 1.0), NOW + 60 * 7)
    metrics.sampled("a", "web.2", Dyno(50.0, 512.0, 0.5), NOW + 60 * 7)
    metrics.failed("a", "R14", NOW + 60 * 7)
    app = metrics.app("a", NOW + 60 * 9)
    assert [row.at - NOW for row in app.history] == [180, 240, 300, 360, 420]
    last = app.history[-1]
    assert (last.classes, last.memory, last.load, last.codes) == ({"2xx": 1}, 150.0, 1.5, {"R14": 1})
    assert 7 < last.p50 <= 8


def test_the_history_outlives_the_server(tmp_path):
    metrics = Metrics(slot_s=60, slots=5)
    for minute in range(3):
        metrics.routed("a-1", routed(error=b'code=H12 desc="Request timeout"'), NOW + 60 * minute)
    directory = str(tmp_path / "metrics")
    metrics_history.save(directory, metrics, NOW + 180)
    assert os.listdir(directory) == ["a-1.json"]
    assert os.stat(f"{directory}/a-1.json").st_mode & 0o777 == 0o600
    later = Metrics(slot_s=60, slots=5)
    metrics_history.load(directory, later, NOW + 200)
    assert list(later.apps["a-1"].history) == list(metrics.apps["a-1"].history)
    assert later.apps["a-1"].history[0].codes == {"H12": 1}
    much_later = Metrics(slot_s=60, slots=5)
    metrics_history.load(directory, much_later, NOW + 60 * 7)
    assert [row.at - NOW for row in much_later.apps["a-1"].history] == [120]
    metrics_history.remove(directory, "a-1")
    assert os.listdir(directory) == []
    metrics_history.load(str(tmp_path / "nowhere"), later, NOW)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[[1]]", "3", "[null]", '[[1, {}, "x", 0, 0, 0, 0, 0, {}]]', '[[1, {"a": []}, 0, 0, 0, 0, 0, 0, {}]]'],
)
def test_a_history_that_is_none_is_left_alone(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    metrics = Metrics()
    metrics_history.load(str(tmp_path), metrics, NOW)
    assert not metrics.app("a", NOW).history


SAMPLE = re.compile(r'[a-z_0-9]+\{(?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*\} (?:[0-9.e+-]+)')


def test_prometheus_text_is_well_formed_and_escaped(metrics):
    name = 'de"mo\\\nx'
    metrics.routed("a", routed(service=b"7") + routed(status=b"503", error=b'code=H12 desc="Request timeout"'), NOW)
    metrics.routed("nameless", routed(), NOW)
    metrics.sampled("a", "web.1", Dyno(1048576.0, 536870912.0, 0.42), NOW)
    metrics.restarted("a", "web.1", NOW)
    lines = render(metrics, {"a": name, "gone": "gone"}).decode().split("\n")
    assert lines.pop() == ""
    assert all(SAMPLE.fullmatch(line) for line in lines if line[0] != "#")
    label = r'app="de\"mo\\\nx"'
    for expected in (
        f'procman_requests_total{{{label},method="GET",status="2xx"}} 1',
        f'procman_request_duration_seconds_bucket{{{label},le="0.005"}} 0',
        f'procman_request_duration_seconds_bucket{{{label},le="0.007"}} 2',
        f'procman_request_duration_seconds_bucket{{{label},le="+Inf"}} 2',
        f"procman_request_duration_seconds_sum{{{label}}} 0.014",
        f"procman_request_duration_seconds_count{{{label}}} 2",
        f'procman_errors_total{{{label},code="H12"}} 1',
        f'procman_dyno_memory_bytes{{{label},dyno="web.1"}} 1048576',
        f'procman_dyno_memory_quota_bytes{{{label},dyno="web.1"}} 536870912',
        f'procman_dyno_load_1m{{{label},dyno="web.1"}} 0.42',
        f'procman_dyno_restarts_total{{{label},dyno="web.1"}} 1',
        "# TYPE procman_request_duration_seconds histogram",
    ):
        assert expected in lines
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert "nameless" not in "".join(lines)


def test_the_summary_is_json_for_a_dashboard(metrics):
    metrics.routed("a", routed(service=b"20") * 99 + routed(status=b"500", service=b"900"), NOW)
    metrics.sampled("a", "web.1", Dyno(1048576.0, 536870912.0, 0.42), NOW)
    got = json.loads(json.dumps(summary(metrics, "a", NOW)))
    assert got["requests"] == {
        "total": 100,
        "by_status": {"2xx": 99, "5xx": 1},
        "by_method": {"GET": 100},
        "bytes": 51200,
    }
    assert 15 < got["latency_ms"]["p50"] <= 20
    assert got["dynos"] == [{"name": "web.1", "memory": 1048576, "memory_quota": 536870912, "load_1m": 0.42}]
    assert [(row["at"], row["requests"]) for row in got["history"]] == [(NOW, 100)]


def test_a_flood_of_requests_costs_little_and_takes_no_memory(metrics):
    batch = b"".join(routed(service=b"%d" % (which % 200), method=b"M%d" % which) for which in range(1000))
    begun = time.process_time()
    for _ in range(100):
        metrics.routed("a", batch, NOW)
    assert time.process_time() - begun < 2  # 0.2 s here: 2 µs a line
    assert sum(metrics.apps["a"].requests.values()) == 100_000
    assert len(metrics.apps["a"].requests) == 1


def test_rows_are_what_the_file_holds():
    row = Row(1, {"2xx": 1}, 1.0, 2.0, 3.0, 4.0, 5.0, 6, {"H10": 1})
    assert Row(*json.loads(json.dumps(list(row)))) == row
