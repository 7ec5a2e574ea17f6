"""The release step: prepares the database. Safe to run any number of times, also while the app runs.

Heroku runs it before each new release takes over; on a laptop it is `procman run release`. Any status but 0
fails the release (Heroku: release-phase).
"""

import sqlite3

import dyno
from store import Store, database_path


def main() -> None:
    """Prepare the database and say what was done."""
    store = Store(database_path())
    try:
        applied = store.prepare()
    except (OSError, sqlite3.Error) as error:
        dyno.fail(f"cannot prepare the database {store.path}: {error}")
    dyno.say(f"release {dyno.release()}: database {store.path}")
    dyno.say(f"applied {applied} migration(s)" if applied else "nothing to do: it is up to date")


if __name__ == "__main__":
    main()
