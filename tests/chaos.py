"""Who kills at random: dynos, the detached supervisor, its clients; and what must be true afterwards."""

import json
import os
import random
import re
import select
import signal
import struct
import subprocess
import sys
import time
from collections import Counter

from procman.control.client import Client
from procman.supervisor.home import apps_dir, homes
from tests.formations import socket_of
from tests.harness import DEADLINE_S, Workshop
from tests.proc import environment

PROCFILE = "web: exec python3 -u $CHILDREN/lives.py\nworker: exec python3 -u $CHILDREN/lives.py\n"
LINE = re.compile(r"life (\S+) (\d+) (x*) end")
PACES_S = (0.0, 0.02, 0.1, 0.4)  # between two deeds
LONGEST_START_S = 0.3  # a start is killed at any moment until then, and sometimes later than it takes
MOST_CLIENTS = 6


class Chaos:
    """A detached formation in a workshop, and its enemy. ``deeds``: what was done, and how often."""

    def __init__(self, shop: Workshop, seed: int) -> None:
        self.shop = shop
        self.random = random.Random(seed)
        self.deeds: Counter[str] = Counter()
        self.wanted = {"web": 1, "worker": 3}
        self.lives = shop.directory / "lives"
        self.lives.mkdir()
        shop.env["LIVES"] = str(self.lives)
        shop.procfile(PROCFILE)
        self._clients: list[subprocess.Popen[bytes]] = []
        self._stopped: list[int] = []

    def start(self) -> None:
        """Begin, or go on with what runs. One that is only on its way, and cannot be asked yet, runs too."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            done = self.shop.call("start", "--detach", "--restart", "always", "web=1", "worker=3")
            assert done.returncode == 0 or "runs already" in done.stderr, done.stderr
            answers = done.returncode == 0 or self.shop.call("ps").returncode == 0
            if answers and self.supervisor():
                break
            assert time.monotonic() < deadline, done.stderr
        if self.wanted["worker"] != 3:
            self._scale(self.wanted["worker"])

    def rage(self, seconds: float) -> None:
        """Kill for so long."""
        deeds = [
            (self.kill_dyno, 8),
            (self.pause_dyno, 3),
            (self.kill_supervisor, 3),
            (self.kill_successor, 2),
            (self.upgrade, 2),
            (self.upgrade_by_signal, 1),
            (self.begin_client, 5),
            (self.kill_client, 5),
            (self.scale, 1),
        ]
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            [(deed, _)] = self.random.choices(deeds, [weight for _, weight in deeds])
            self.deeds[deed.__name__] += 1
            deed()
            self._listen(min(end, now + self.random.choice(PACES_S)))

    # -- deeds ----------------------------------------------------------------------------------------------

    def kill_dyno(self) -> None:
        """Any of them, or several at once."""
        found = [pid for pids in self.dynos().values() for pid in pids]
        for pid in self.random.sample(found, min(len(found), self.random.choice((1, 1, 1, 2, 4)))):
            send(pid, self.random.choice((signal.SIGKILL, signal.SIGTERM)))

    def pause_dyno(self) -> None:
        """One stands still, and goes on at the next time."""
        self.resume()
        if found := [pid for pids in self.dynos().values() for pid in pids]:
            self._stopped.append(self.random.choice(found))
            send(self._stopped[0], signal.SIGSTOP)

    def resume(self) -> None:
        """Whatever stands still goes on."""
        while self._stopped:
            send(self._stopped.pop(), signal.SIGCONT)

    def kill_supervisor(self) -> None:
        """And, a random while later, start the next one."""
        self._end_supervisor()
        self._listen(time.monotonic() + self.random.choice(PACES_S))
        self.start()

    def kill_successor(self) -> None:
        """Also the next one, at any moment of its start or its first work."""
        self._end_supervisor()
        launcher = self._procman("start", "--detach", "--restart", "always", "web=1", "worker=3")
        wait_for_end(launcher.pid, self.random.uniform(0, LONGEST_START_S))
        self._end_supervisor()
        launcher.kill()
        launcher.wait()
        self.start()

    def upgrade(self) -> None:
        """It must be true when it returns."""
        done = self.shop.call("upgrade")
        assert done.returncode == 0, done.stderr

    def upgrade_by_signal(self) -> None:
        """Whenever it comes to that."""
        if pid := self.supervisor():
            send(pid, signal.SIGUSR2)

    def scale(self) -> None:
        """What is wanted changes."""
        self._scale(self.random.randint(1, 4))

    def _scale(self, workers: int) -> None:
        self.wanted["worker"] = workers
        done = self.shop.call("scale", f"worker={workers}")
        assert done.returncode == 0 or "the order stands" in done.stderr, done.stderr  # an upgrade came in between

    def begin_client(self) -> None:
        """One that reads, or does not, or wants something."""
        if len(self._clients) >= MOST_CLIENTS:
            return self.kill_client()
        words = self.random.choice((("logs", "--tail"), ("ps", "--json"), ("restart", "worker.1"), ("restart", "web")))
        self._clients.append(self._procman(*words, stdout=subprocess.PIPE))
        return None

    def kill_client(self) -> None:
        """In the middle of whatever it does."""
        if self._clients:
            client = self._clients.pop(self.random.randrange(len(self._clients)))
            client.kill()
            client.wait()
            client.stdout.close()

    def calm(self) -> None:
        """The end of it: all go on, no client is left."""
        self.resume()
        while self._clients:
            self.kill_client()

    # -- what is --------------------------------------------------------------------------------------------

    def supervisor(self) -> int:
        """Its pid, by its home; 0 where none runs."""
        for home in homes(apps_dir({"XDG_STATE_HOME": f"{self.shop.directory}/.local/state"})):
            if home.is_running():
                return int(home.facts().get("pid") or 0)
        return 0

    def dynos(self) -> dict[str, list[int]]:
        """Living processes by the token in their environment, as the kernel tells."""
        found: dict[str, list[int]] = {}
        for pid in self.shop.processes():
            if dyno := environment(pid).get("DYNO"):
                found.setdefault(dyno, []).append(pid)
        return found

    def told(self) -> dict[str, list[int]]:
        """By the supervisor, once it holds that all are up: a crash, or an upgrade meanwhile, is an answer too."""
        deadline, answer = time.monotonic() + DEADLINE_S, {"ok": False}
        while not answer["ok"]:
            assert time.monotonic() < deadline, answer
            with Client(socket_of(self.shop), DEADLINE_S) as client:
                answer = client.call("wait", wait=True)
        with Client(socket_of(self.shop), DEADLINE_S) as client:
            return {row["dyno"]: [row["pid"]] for row in client.call("ps")["dynos"]}

    def formation(self) -> set[str]:
        """The dynos that are wanted."""
        return {f"{kind}.{number}" for kind, count in self.wanted.items() for number in range(1, count + 1)}

    def written(self) -> dict[str, int]:
        """How many lines each life had written, by its own count."""
        counts = ((path.name, path.read_bytes()) for path in self.lives.iterdir())
        return {name: struct.unpack("q", count)[0] if count else 0 for name, count in counts}

    def logged(self) -> tuple[dict[str, list[int]], list[str]]:
        """The numbers of each life's lines as they stand in the log, and lines that nobody wrote."""
        done = self.shop.call("logs", "-n", "100000000", "--source", "app", "--json")
        assert done.returncode == 0, done.stderr
        lives: dict[str, list[int]] = {}
        torn = []
        for text in done.stdout.splitlines():
            row = json.loads(text)
            found = LINE.fullmatch(row["message"])
            if found and len(found[3]) == int(found[2]) % 50 and found[1].startswith(f"{row['dyno']}."):
                lives.setdefault(found[1], []).append(int(found[2]))
            else:
                torn.append(text)
        return lives, torn

    # -- helpers --------------------------------------------------------------------------------------------

    def _procman(self, *words: str, stdout: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "procman", *words],
            cwd=self.shop.directory,
            env=self.shop.env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )

    def _end_supervisor(self) -> None:
        if pid := self.supervisor():
            send(pid, signal.SIGKILL)
            assert wait_for_end(pid, DEADLINE_S)

    def _listen(self, until: float) -> None:
        """The pace: read what half of the clients are told until then; the others never read."""
        outputs = [client.stdout for client in self._clients[::2] if client.stdout]
        while (left := until - time.monotonic()) > 0:
            for output in select.select(outputs, [], [], left)[0]:
                if not os.read(output.fileno(), 1 << 16):
                    outputs.remove(output)


def send(pid: int, signum: int) -> None:
    """If it is still there."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return


def wait_for_end(pid: int, seconds: float) -> bool:
    """Whether a process ended in so many seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)
