"""The app's data: a visit counter and a queue of jobs in one SQLite file.

Each call opens the file, does one transaction and closes it, so any number of processes may use it at once
and one that is killed leaves nothing half done. Whoever comes first creates the file and its tables; the
release step only does the same thing earlier.

On one machine all dynos share this file. On Heroku each dyno has a disk of its own that lasts as long as the
dyno: the app runs there, but the count starts again with each restart and no dyno sees the jobs of another.
Real apps use a database server.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
LOCK_WAIT_S = 10  # for another process's transaction; each of ours takes milliseconds
KEPT_JOBS = 100  # done ones; the clock adds one every few seconds for ever

MIGRATIONS = (  # append only: a file's `user_version` says how many of these it has seen
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    """CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        seconds REAL NOT NULL,
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done')),
        dyno TEXT
    )""",
    "CREATE INDEX jobs_by_state ON jobs (state, id)",
)


class Job(NamedTuple):
    """One piece of work; `seconds` is how long it takes, `dyno` who does or did it."""

    id: int
    kind: str
    seconds: float
    state: str
    dyno: str | None


def database_path() -> Path:
    """Where the file is: `DATABASE_PATH`, from the app's folder if relative."""
    return HERE / (os.environ.get("DATABASE_PATH") or "tmp/sample.sqlite3")


class Store:
    """The file at `path`; nothing is opened or created before the first call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> int:
        """Create the file and bring its tables up to date; how many migrations that took, 0 if none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite does not wait for its turn when two processes switch a new file to WAL at once: it fails.
        with self.path.with_name(self.path.name + ".lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            with closing(self._open()) as db:
                db.execute("PRAGMA journal_mode = WAL")
                return _migrate(db)

    def visit(self) -> int:
        """Count one visit; how many there were, this one included."""
        with self._transaction() as db:
            return db.execute(
                "INSERT INTO counters VALUES ('visits', 1)"
                " ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
            ).fetchall()[0][0]

    def visits(self) -> int:
        """How many visits were counted so far."""
        with self._transaction() as db:
            row = db.execute("SELECT value FROM counters WHERE name = 'visits'").fetchone()
            return row[0] if row else 0

    def enqueue(self, kind: str, seconds: float) -> int:
        """Add a job; its number."""
        with self._transaction() as db:
            return _add(db, kind, seconds)

    def enqueue_once(self, kind: str, seconds: float) -> int | None:
        """Add a job unless one of its kind still waits; its number, None if one waits."""
        with self._transaction() as db:
            waiting = db.execute("SELECT 1 FROM jobs WHERE state = 'waiting' AND kind = ?", (kind,))
            return None if waiting.fetchall() else _add(db, kind, seconds)

    def claim(self, dyno: str) -> Job | None:
        """Give the oldest waiting job to `dyno`; None if nothing waits. No two callers get the same job."""
        with self._transaction() as db:
            rows = db.execute(
                "UPDATE jobs SET state = 'running', dyno = ?"
                " WHERE id = (SELECT min(id) FROM jobs WHERE state = 'waiting') RETURNING *",
                (dyno,),
            ).fetchall()
            return Job(*rows[0]) if rows else None

    def finish(self, job: Job) -> None:
        """Mark a claimed job as done, and forget jobs done long ago."""
        with self._transaction() as db:
            db.execute("UPDATE jobs SET state = 'done' WHERE id = ?", (job.id,))
            db.execute("DELETE FROM jobs WHERE state = 'done' AND id <= ?", (job.id - KEPT_JOBS,))

    def take_back(self, dyno: str) -> int:
        """Let the jobs wait again that an earlier run of `dyno` left unfinished; how many there were."""
        with self._transaction() as db:
            return db.execute(
                "UPDATE jobs SET state = 'waiting' WHERE state = 'running' AND dyno = ?", (dyno,)
            ).rowcount

    def latest_jobs(self, limit: int = 5) -> list[Job]:
        """The newest jobs, newest first."""
        with self._transaction() as db:
            return [Job(*row) for row in db.execute("SELECT * FROM jobs ORDER BY id DESC LIMIT ?", (limit,))]

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=LOCK_WAIT_S, isolation_level=None)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if not self.path.exists():
            self.prepare()
        with closing(self._open()) as db:
            if _version(db) < len(MIGRATIONS):
                self.prepare()
            db.execute("PRAGMA synchronous = NORMAL")  # in WAL mode a killed process loses nothing with it
            db.execute("BEGIN IMMEDIATE")  # wait for the lock now: one taken in the middle can deadlock
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def _migrate(db: sqlite3.Connection) -> int:
    """Apply what the file has not seen, all or nothing."""
    db.execute("BEGIN IMMEDIATE")
    missing = MIGRATIONS[_version(db) :]
    try:
        for statement in missing:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {max(_version(db), len(MIGRATIONS))}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    return len(missing)


def _add(db: sqlite3.Connection, kind: str, seconds: float) -> int:
    return db.execute(
        "INSERT INTO jobs (kind, seconds) VALUES (?, ?) RETURNING id", (kind, seconds)
    ).fetchall()[0][0]
