"""A served app with a supervisor of its own, as a server has it, told by its plan and its control socket."""

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from procman.control.client import Client, NotRunning
from procman.control.protocol import encode as encode_request
from procman.core.plan import Plan, TypePlan
from procman.core.sizes import SIZES
from procman.formats.plan import encode
from tests.harness import DEADLINE_S, MARK, Running, Workshop, free_port, poll

BASIC = SIZES["Basic"]
APP = "app-1"
WAIT = "echo ready; exec sleep 1000"


def kind(command: str = WAIT, quantity: int = 1, **more) -> TypePlan:
    return TypePlan(command, quantity, BASIC, **more)


def plan_of(slug: Path, base: int, generation: int, env: dict[str, str], /, **changes) -> Plan:
    """The plan of the one app that tests of served apps have: a worker that waits, unless ``changes`` say otherwise."""
    given = {
        "app_id": APP,
        "app_name": "shop",
        "release_id": f"release-{generation}",
        "version": generation,
        "directory": str(slug),
        "types": {"worker": kind()},
        "ports": (base, 20),
        "steady_s": 0.0,
        "watch_s": 0.0,
        "grace": 5.0,
    }
    return Plan(generation=generation, env=env, **{**given, **changes})


class Served:
    """One app in a workshop. Its slug is an empty directory unless a test puts something there."""

    def __init__(self, shop: Workshop):
        self.shop = shop
        self.home = shop.directory / "data" / "apps" / APP
        self.slug = shop.directory / "slug"
        self.home.mkdir(parents=True)
        self.slug.mkdir()
        self.base = free_port()
        self.children = Path(__file__).parent / "children"

    def plan(self, generation: int = 1, name: str = "plan.json", **changes) -> Plan:
        """Write a plan. ``types``: what runs; a worker that waits unless told otherwise."""
        mark = self.shop.mark.decode().partition("=")[2]
        env = {MARK: mark, "CHILDREN": str(self.children), "PY": sys.executable, **changes.pop("env", {})}
        plan = plan_of(self.slug, self.base, generation, env, **changes)
        (self.home / name).write_bytes(encode(plan))
        return plan

    def start(self) -> Running:
        running = self.shop.procman("supervise", str(self.home))
        running.wait_for("^ready$")
        return running

    def client(self) -> Client:
        return Client(str(self.home / "control.sock"), DEADLINE_S)

    def ask(self, verb: str, **arguments) -> list[dict]:
        with self.client() as client:
            return list(client.ask(verb, **arguments))

    def begin(self, verb: str, **arguments) -> Client:
        """Ask, and hear the answer later, by ``answers``."""
        client = self.client()
        client.socket.sendall(encode_request({"verb": verb, **arguments}))
        return client

    def call(self, verb: str, **arguments) -> dict:
        return self.ask(verb, **arguments)[-1]

    def apply(self, generation: int = 1, switch: bool = True, **changes) -> dict:
        self.plan(generation, **changes)
        answer = self.call("apply")
        if switch and answer["ok"]:
            assert self.call("switch", generation=generation) == {"ok": True}
        self.stored()
        return answer

    def states(self) -> Iterator[dict]:
        client = self.client()
        try:
            yield from client.ask("states")
        finally:
            client.close()

    def wait_until(self, holds) -> dict:
        """The first message of ``states`` of which ``holds`` is true."""
        return next(message for message in self.states() if holds(message))

    def rows(self) -> dict[tuple[str, int], dict]:
        """All that is told of each dyno, but for since when: that is worked out anew by each process."""
        rows = by_name(next(self.states()))
        self.stored()
        return {name: {key: value for key, value in row.items() if key != "since"} for name, row in rows.items()}

    def stored(self) -> None:
        """Log and ledger are on the disk. Once that takes nothing for a moment, no answer waits for it any more."""
        with contextlib.suppress(NotRunning):
            poll(lambda: not self.call("ps").get("log", {}).get("waiting"))

    def log(self) -> str:
        self.stored()
        return "".join(path.read_text() for path in sorted((self.home / "log").glob("log.*")))

    def lines(self, dyno: str, source: str = "heroku") -> list[str]:
        return re.findall(rf"^\S+ {source}\[{re.escape(dyno)}\]: (.*)$", self.log(), re.MULTILINE)

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """When the log has it."""
        with self.client() as client:
            for _ in client.ask("follow"):
                if found := re.search(pattern, self.log(), re.MULTILINE):
                    return found
        raise AssertionError(f"no line like {pattern!r} in:\n{self.log()}")

    def end(self, running: Running) -> int:
        with self.client() as client:
            client.shut_down()
        return running.finish()


def by_name(message: dict) -> dict[tuple[str, int], dict]:
    return {(row["dyno"], row["generation"]): row for row in message["dynos"]}


def all_gone(generation: int):
    return lambda message: all(row["generation"] != generation for row in message["dynos"])


def answers(client: Client) -> list[dict]:
    """Everything that was answered, until the connection ended."""
    return [json.loads(line) for line in read_all(client).splitlines()]


def read_all(client: Client) -> bytes:
    """Everything until the connection ends."""
    chunks = [client.raw()]
    while chunk := client.socket.recv(1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)
