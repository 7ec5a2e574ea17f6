"""The database: one file, one thread, one transaction a call."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from procman.errors import ProcmanError

T = TypeVar("T")
Tx = sqlite3.Connection

MIGRATIONS = os.path.join(os.path.dirname(__file__), "migrations")


class Database:
    """Opens (and brings up to date) the database at ``path``, mode 0600. Raises ProcmanError when that cannot be."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, "database")
        self._connection = self._thread.submit(connect, path).result()

    async def run(self, work: Callable[[Tx], T]) -> T:
        """``work`` as one transaction: all of it is kept, or, when it raises, nothing."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.transact, work)

    def transact(self, work: Callable[[Tx], T]) -> T:
        """The same, on the calling thread: for the database's own, and before there is a loop."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result

    def call(self, work: Callable[[Tx], T]) -> T:
        """As ``run``, for callers without an event loop."""
        return self._thread.submit(self.transact, work).result()

    def close(self) -> None:
        """Finish what was asked for, and let the file go."""
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()


def connect(path: str) -> Tx:
    """A connection with the newest schema."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA busy_timeout=5000")
        migrate(connection, path)
    except (OSError, sqlite3.Error) as error:
        raise ProcmanError(f"cannot open the database {path}: {error}", "procman doctor") from None
    return connection


def migrate(connection: Tx, path: str) -> None:
    """Apply the numbered files that this database has not seen, each in a transaction of its own."""
    files = sorted(name for name in os.listdir(MIGRATIONS) if name.endswith(".sql"))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(files):
        raise ProcmanError(
            f"cannot open the database {path}: its schema {version} is newer than this procman's {len(files)}",
            "pip install --upgrade procman",
        )
    for number, name in enumerate(files[version:], version + 1):
        with open(os.path.join(MIGRATIONS, name), encoding="utf-8") as file:
            text = file.read()
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version={number};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
