"""The pre-receive hook, a program of its own: git runs it with the new objects in quarantine, before any ref moves."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPException
from select import select

from procman.gitpush.updates import Update, decide, not_a_commit, parse
from procman.unix_http import UnixConnection

REMIND_S = 5.0  # how often a push that waits says so
CHUNK = 1 << 16
QUARANTINE = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "GIT_DIR")


def main() -> int:
    """0 lets the refs move."""
    decision = decide(parse(sys.stdin))
    for line in decision.lines:
        say(line)
    if decision.refusal:
        return refuse(decision.refusal)
    update = decision.deploy
    if update is None:
        return 0
    if problem := not_a_commit(update, kind_of(update.new)):
        return refuse(problem)
    wait_for_turn(int(os.environ["PROCMAN_LOCK_FD"]), os.environ["PROCMAN_APP"])
    if (found := now_at(update.ref)) != update.old:
        what = "push again" if is_ancestor(found, update.new) else "fetch first"
        return refuse(f"Push rejected, {update.branch} was pushed to meanwhile (it is at {found[:8]}): {what}")
    unlock(os.environ.get("GIT_DIR", "."), update.ref)
    return deploy(update)


def say(text: str) -> None:
    """Show the pusher a line. One who has gone away does not stop the deploy (as on Heroku)."""
    show(f"{text}\n".encode())


def show(data: bytes) -> None:
    """Show bytes as they come."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError:
        return


def refuse(why: str) -> int:
    """The push is not taken."""
    say(f"!\t{why}")
    return 1


def git(*words: str) -> str:
    """What git prints; nothing when it refuses."""
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()


def kind_of(name: str) -> str:
    """``commit``, ``tag``, ``tree`` or ``blob``."""
    return git("cat-file", "-t", name)


def now_at(ref: str) -> str:
    """What the ref names at present; zeros for a new one."""
    return git("rev-parse", "--verify", "--quiet", ref) or "0" * 40


def is_ancestor(old: str, new: str) -> bool:
    """Whether the new commit holds all that the old one has."""
    words = ["git", "merge-base", "--is-ancestor", old, new]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def wait_for_turn(lock: int, app: str) -> None:
    """One deploy an app at a time: take the lock that git holds open for us, and say so while another has it."""
    if try_lock(lock):
        return
    waiting = lock_in_background(lock)
    say(f"-----> Another deploy of {app} is running, waiting for it to end...")
    while not select([waiting], [], [], REMIND_S)[0]:
        say("       still waiting...")
    os.close(waiting)


def try_lock(lock: int) -> bool:
    """Whether it is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_in_background(lock: int) -> int:
    """A child waits for the lock, as flock has no time limit; the answer can be read when it has it.

    The lock belongs to the open file, which we share: what the child gets is ours and git's.
    """
    reader, writer = os.pipe()
    if not os.fork():
        try:
            os.close(reader)
            fcntl.flock(lock, fcntl.LOCK_EX)
        finally:
            os._exit(0)
    os.close(writer)
    return reader


def unlock(repository: str, ref: str) -> None:
    """Remove the lock that a killed git has left on a ref. We hold the deploy lock: it cannot be another's."""
    path = os.path.join(repository, f"{ref}.lock")
    if os.path.lexists(path):
        os.unlink(path)


def deploy(update: Update) -> int:
    """Have the server build and release the commit; the exit status is whether it did."""
    body = {
        "commit": update.new,
        "previous": update.old,
        "branch": update.branch,
        "environment": {name: os.environ[name] for name in QUARANTINE if name in os.environ},
    }
    connection = UnixConnection(os.environ["PROCMAN_SOCKET"])
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", f"/internal/pushes/{os.environ['PROCMAN_PUSH']}", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            return refuse(f"Push rejected, the server refused it: {message_of(response.read())}")
        verdict = b""
        for chunk in chunks(response):
            text, _, rest = chunk.partition(b"\0") if not verdict else (b"", b"", chunk)
            show(text)
            verdict += rest
        if not verdict:
            return refuse("Push rejected, the server went away during the deploy: push again")
        return 0 if json.loads(verdict).get("ok") else 1
    except (OSError, HTTPException, ValueError) as error:
        return refuse(f"Push rejected, cannot reach the server: {error or type(error).__name__}")


def chunks(response: object) -> Iterator[bytes]:
    """The answer as it comes."""
    read1 = response.read1  # type: ignore[attr-defined]
    while chunk := read1(CHUNK):
        yield chunk


def message_of(body: bytes) -> str:
    """The sentence in an error of the API's."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"


if __name__ == "__main__":
    sys.exit(main())
