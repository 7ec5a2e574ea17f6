"""A ground on which an unprivileged user keeps slugs and starts dynos as a server's supervisor would.

When the tests run as root, everything of a dyno is done by a fork that has become another user; otherwise by a fork of
the tests' own.
"""

import ctypes  # noqa: F401 - imported while Python can still be read; the user may not be allowed to
import json
import os
import re
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from procman.core.plan import Limits
from procman.supervisor.processes import become_subreaper
from procman.supervisor.proctable import own_children
from procman.supervisor.slug_copy import make_folder, remove
from procman.supervisor.starter import Place, dyno_env, launch, target_of
from procman.supervisor.starter_isolation import Isolation, Way
from procman.supervisor.starter_probe import capabilities

DEADLINE_S = 60.0  # for a broken test
UID = 61_234  # nobody's
MOUNT = "/mnt"  # an empty directory that every Linux has, and nothing of ours lies in
REFUSALS = "not permitted|[Pp]ermission denied|cannot change root|No space left|there is no|failed: Invalid argument"
MB = 1 << 20


def reap_all() -> None:
    """End and let go whatever there is of ours, also what has come back to us."""
    while children := own_children():
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def wait_until(condition: Callable[[], bool]) -> None:
    """Where nobody tells: ask, and let others run."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        os.sched_yield()


class Ended(NamedTuple):
    """What came of a dyno. ``status``: as the shell counts."""

    status: int
    output: str


class Dyno:
    """A running one. Its stdin is a pipe, so that it can be told to go on."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        said, theirs = os.pipe()
        stdin, self.stdin = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, theirs, 1), (os.POSIX_SPAWN_DUP2, theirs, 2)]
        self.pid = os.posix_spawn(argv[0], argv, env, file_actions=actions, setsid=True)
        os.close(theirs)
        os.close(stdin)
        self.said = said
        self.output = b""

    def wait_for(self, pattern: str) -> re.Match[bytes]:
        deadline = time.monotonic() + DEADLINE_S
        while not (found := re.search(pattern.encode(), self.output, re.MULTILINE)):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.said], [], [], left)[0], f"no {pattern!r} in {self.output!r}"
            chunk = os.read(self.said, 65_536)
            assert chunk, f"no {pattern!r} in {self.output!r}"
            self.output += chunk
        return found

    def tell(self, line: str) -> None:
        os.write(self.stdin, line.encode() + b"\n")

    def signal(self, signum: int) -> None:
        """To every process of the dyno, as the supervisor does."""
        os.killpg(self.pid, signum)

    def end(self) -> Ended:
        """Wait for the root, kill the rest, reap."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.signal(signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with open(self.said, "rb") as file:
            self.output += file.read()
        os.close(self.stdin)
        return Ended(code if code >= 0 else 128 - code, self.output.decode())


class Ground:
    """Directories of the user who runs the dynos."""

    def __init__(self, isolation: Isolation | None = None) -> None:
        self.path = tempfile.mkdtemp(prefix="procman-ground-")
        self.uid = UID if os.geteuid() == 0 else os.geteuid()
        self.dynos = f"{self.path}/home/dynos"
        self.slug = f"{self.path}/slugs/one"
        os.makedirs(self.dynos)
        os.makedirs(self.slug)
        self._own()
        self._isolation = isolation
        self._count = 0

    def _own(self) -> None:
        if os.geteuid() == 0:
            for at, names, files in os.walk(self.path):
                for name in (".", *names, *files):
                    os.lchown(f"{at}/{name}", self.uid, self.uid)

    def write(self, files: Mapping[str, str]) -> None:
        """Files of the slug, by name."""
        for name, content in files.items():
            path = f"{self.slug}/{name}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(content)
        self._own()

    def as_user(self, deed: Callable[[], Any]) -> Any:
        """What ``deed`` returns (as JSON), called in a fork that is the user."""
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(self.uid)
                    os.setuid(self.uid)
                assert become_subreaper()
                for signum in (signal.SIGINT, signal.SIGQUIT):  # whoever runs the tests in the background ignores them
                    signal.signal(signum, signal.SIG_DFL)
                os.write(writer, json.dumps({"value": deed()}).encode())
            except BaseException:  # told to the test, by its words
                os.write(writer, json.dumps({"error": traceback.format_exc()}).encode())
            finally:
                reap_all()
                os._exit(0)
        os.close(writer)
        with open(reader, "rb") as file:
            answer = json.loads(file.read())
        os.waitpid(pid, 0)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    @property
    def isolation(self) -> Isolation:
        """What this host allows, asked once."""
        if self._isolation is None:
            way, *rest = self.as_user(self.probe)
            self._isolation = Isolation(Way(way), *rest)
        return self._isolation

    def probe(self) -> list[str]:
        found = capabilities(self.dynos, MOUNT)
        return [found.way.value, *found[1:]]

    def require(self, way: Way = Way.OVERLAY) -> Isolation:
        """The isolation in that way; a host that refuses it has to have said so itself."""
        found = self.isolation
        if found.way == Way.SHARED or (found.way == Way.COPY and way == Way.OVERLAY):
            assert re.search(REFUSALS, found.reason), f"refused for no good reason: {found}"
            pytest.skip(found.reason)
        return found._replace(way=way)

    def permit(self, way: Way) -> Isolation:
        """The same for any way: to share takes no host's leave."""
        return self.isolation._replace(way=way) if way == Way.SHARED else self.require(way)

    def start(
        self,
        isolation: Isolation,
        command: str,
        env: Mapping[str, str] | None = None,
        mount: str | None = MOUNT,
        limits: Limits | None = None,
        groups: Sequence[str] = (),
        hide: Sequence[str] = (),
    ) -> Dyno:
        """Start a dyno; for use in ``as_user``."""
        self._count += 1
        folder = make_folder(self.dynos, f"web.1.0.{self._count}")
        place = Place(folder, self.slug, target_of(isolation, self.slug, mount), tuple(hide))
        chain = launch(isolation, place, command, dyno_env(env or {}, "web.1", 5000, place.target), limits, groups)
        return Dyno(chain.argv, chain.env)

    def run(self, isolation: Isolation, command: str, **more: Any) -> Ended:
        """Start a dyno as the user and wait for its end."""
        return Ended(*self.as_user(lambda: self.start(isolation, command, **more).end()))

    def close(self) -> None:
        for name in os.listdir(self.dynos):
            remove(f"{self.dynos}/{name}")
        shutil.rmtree(self.path)


@pytest.fixture(name="ground")
def make_ground():
    made = Ground()
    yield made
    made.close()
