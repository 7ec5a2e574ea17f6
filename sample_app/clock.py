"""The clock process: every CLOCK_INTERVAL seconds it prints a tick and queues a job for the worker.

Run one of it, never two: on Heroku and here alike, that is what `clock=1` in the formation is for.
"""

import time

import dyno
from store import Store, database_path


def main() -> None:
    """Tick until asked to stop; asleep in between."""
    stop = dyno.Stop()
    store = Store(database_path())
    interval = dyno.seconds_from("CLOCK_INTERVAL", 10.0)
    due = time.monotonic()
    ticks = 0
    while not stop.wait(due - time.monotonic()):
        ticks += 1
        tick(store, ticks)
        # Ticks are due at fixed times, however long one takes; those missed in a laptop's sleep are left out.
        due = max(due + interval, time.monotonic())
    dyno.say(f"stopped after {ticks} tick(s)")


def tick(store: Store, number: int) -> None:
    """Queue one job, or none while the last one waits: without a worker the queue must not grow for ever."""
    job = store.enqueue_once("tick", 0.2)
    dyno.say(f"tick {number}: " + (f"queued job {job}" if job else "the last job still waits for a worker"))


if __name__ == "__main__":
    main()
