"""The history of metrics on disk: one small file an app, a day of rows, written whole or not at all."""

import json
import os

from procman.files import write_private
from procman.logs.metrics import Metrics, Row

LARGEST = 4 << 20  # bytes; a day's rows have a tenth of that


def save(directory: str, metrics: Metrics, now: float) -> None:
    """Write every app's closed slots. Raises OSError; what stood there before is whole then."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    for app_id in metrics.apps:
        rows = metrics.app(app_id, now).history  # closes the slots that are over
        write_private(os.path.join(directory, f"{app_id}.json"), json.dumps([list(row) for row in rows]).encode())


def load(directory: str, metrics: Metrics, now: float) -> None:
    """Take up what is there; a file that is not what ``save`` wrote counts as none."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return
    for name in names:
        app_id, dot, ending = name.rpartition(".")
        if dot and ending == "json":
            metrics.restore(app_id, read(os.path.join(directory, name)), now)


def remove(directory: str, app_id: str) -> None:
    """Of an app that is gone."""
    try:
        os.unlink(os.path.join(directory, f"{app_id}.json"))
    except FileNotFoundError:
        return


def read(path: str) -> list[Row]:
    """The rows of a file; [] if it is not one of ours."""
    try:
        with open(path, "rb") as file:
            rows = [Row(*row) for row in json.loads(file.read(LARGEST))]
    except (OSError, ValueError, TypeError):
        return []
    numbers = (int, float)
    good = all(
        isinstance(row.at, int)
        and isinstance(row.restarts, int)
        and all(isinstance(value, numbers) for value in (row.p50, row.p95, row.p99, row.memory, row.load))
        and all(isinstance(part, dict) and all(isinstance(n, int) for n in part.values()) for part in (row[1], row[8]))
        for row in rows
    )
    return rows if good else []
