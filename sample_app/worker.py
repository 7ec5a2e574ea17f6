"""The worker process: does the jobs of the queue, one at a time.

Asked to stop, it finishes the job in hand and takes no other. Killed in the middle of one, it does that job
again when the process manager has brought it back under the same dyno name: a job is done at least once.
"""

import time

import dyno
from store import Job, Store, database_path


def main() -> None:
    """Work until asked to stop."""
    stop = dyno.Stop()
    store = Store(database_path())
    poll = dyno.seconds_from("WORKER_POLL", 1.0)  # SQLite has nothing that wakes another process
    for_again = store.take_back(dyno.name())
    if for_again:
        dyno.say(f"an earlier run of {dyno.name()} left {for_again} job(s) unfinished: they wait again")
    dyno.say("ready for jobs")
    done = 0
    while not stop.wait(0):
        job = store.claim(dyno.name())
        if job is None:
            stop.wait(poll)
            continue
        work(job)
        store.finish(job)
        done += 1
    dyno.say(f"stopped after {done} job(s)")


def work(job: Job) -> None:
    """Stand in for real work: take the job's time."""
    dyno.say(f"job {job.id} ({job.kind}) started")
    time.sleep(job.seconds)  # goes on after a signal, whose handler only takes a note
    dyno.say(f"job {job.id} ({job.kind}) done in {job.seconds:g} s")


if __name__ == "__main__":
    main()
