"""Numbers for others: Prometheus's text format, and a dict for the API and its dashboard."""

from collections.abc import Iterable, Iterator, Mapping

from procman.logs.histogram import BOUNDS_MS, Histogram, percentile
from procman.logs.metrics import App, Metrics, Row

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})  # Prometheus: exposition formats

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]  # what is added to the family's name, labels, value


def render(metrics: Metrics, names: Mapping[str, str]) -> bytes:
    """All apps that have a name, in Prometheus's text format. ``names``: by app id."""
    apps = sorted((names[app_id], app) for app_id, app in metrics.apps.items() if app_id in names)
    lines: list[str] = []
    for name, kind, text, samples in families(apps):
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{more}{{{written(labels)}}} {number(value)}" for more, labels, value in samples]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def families(apps: list[tuple[str, App]]) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
    """Name, type, help and samples of each."""
    yield (
        "procman_requests_total",
        "counter",
        "Requests by method and status class.",
        [
            ("", {"app": name, "method": method, "status": status}, count)
            for name, app in apps
            for (method, status), count in sorted(app.requests.items())
        ],
    )
    service = [sample for name, app in apps for sample in buckets(name, app.service)]
    yield "procman_request_duration_seconds", "histogram", "From request sent to response end.", service
    connect = [sample for name, app in apps for sample in buckets(name, app.connect)]
    yield "procman_request_connect_seconds", "histogram", "Until a dyno took the connection.", connect
    sent = [("", {"app": name}, float(app.bytes)) for name, app in apps]
    yield "procman_response_bytes_total", "counter", "Bytes of responses.", sent
    codes = [("", {"app": name, "code": code}, n) for name, app in apps for code, n in sorted(app.codes.items())]
    yield "procman_errors_total", "counter", "Errors by Heroku's code.", codes
    restarts = [("", {"app": name, "dyno": dyno}, n) for name, app in apps for dyno, n in sorted(app.restarts.items())]
    yield "procman_dyno_restarts_total", "counter", "Restarts after a crash.", restarts
    for field, unit, text in (
        ("memory", "_bytes", "Memory in use."),
        ("quota", "_bytes", "Memory allowed."),
        ("load", "_1m", "Runnable tasks, over one minute."),
    ):
        gauges = [
            ("", {"app": name, "dyno": dyno}, getattr(sample, field))
            for name, app in apps
            for dyno, sample in sorted(app.dynos.items())
        ]
        yield f"procman_dyno_{field.replace('quota', 'memory_quota')}{unit}", "gauge", text, gauges


def buckets(app: str, histogram: Histogram) -> Iterator[Sample]:
    """A histogram as Prometheus wants it: cumulative, in seconds."""
    sums = histogram.cumulative()
    for bound, count in zip([*(number(ms / 1000) for ms in BOUNDS_MS), "+Inf"], sums, strict=True):
        yield "_bucket", {"app": app, "le": bound}, count
    yield "_sum", {"app": app}, histogram.sum / 1000
    yield "_count", {"app": app}, sums[-1]


def written(labels: Labels) -> str:
    """Labels, escaped."""
    return ",".join(f'{key}="{value.translate(ESCAPES)}"' for key, value in labels.items())


def number(value: float) -> str:
    """Without needless digits."""
    return str(int(value)) if value == int(value) else repr(value)


def summary(metrics: Metrics, app_id: str, now: float) -> dict[str, object]:
    """One app's numbers for the API. Latencies are those of the last minutes."""
    app = metrics.app(app_id, now)
    recent = [app.slot.service, app.recent]
    return {
        "requests": {
            "total": sum(app.requests.values()),
            "by_status": dict(sorted(summed((status, count) for (_, status), count in app.requests.items()).items())),
            "by_method": dict(sorted(summed((method, count) for (method, _), count in app.requests.items()).items())),
            "bytes": app.bytes,
        },
        "latency_ms": {f"p{share}": round(percentile(recent, share / 100), 1) for share in (50, 95, 99)},
        "errors": dict(sorted(app.codes.items())),
        "restarts": dict(sorted(app.restarts.items())),
        "dynos": [
            {"name": name, "memory": int(each.memory), "memory_quota": int(each.quota), "load_1m": round(each.load, 2)}
            for name, each in sorted(app.dynos.items())
        ],
        "history": [point(row) for row in (*app.history, app.slot.row())],
    }


def point(row: Row) -> dict[str, object]:
    """A slot of the history."""
    return {
        **row._asdict(),
        "requests": sum(row.classes.values()),
        "p50": round(row.p50, 1),
        "p95": round(row.p95, 1),
        "p99": round(row.p99, 1),
        "memory": int(row.memory),
        "load": round(row.load, 2),
    }


def summed(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Counts of equal keys together."""
    sums: dict[str, int] = {}
    for key, count in pairs:
        sums[key] = sums.get(key, 0) + count
    return sums
