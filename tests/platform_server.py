"""A real ``procman server`` with real supervisors and dynos, in a workshop; driven by its API."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import httpx

from procman.supervisor import cgroups
from tests.api_cases import tarball
from tests.harness import DEADLINE_S, MARK, Running, Workshop, app_ports, free_port, poll
from tests.proc import command, environment, is_alive

WAIT = "echo ready; exec sleep 1000"
WEB = 'exec "$PY" -u -m http.server --bind 127.0.0.1 "$PORT"'


class PlatformServer:
    """``more``: flags. Everything that it starts is found by its data directory, and ended by ``close``."""

    def __init__(self, shop: Workshop, *more: str, local: bool = True):
        self.shop = shop
        self.data = shop.directory / "data"
        self.port = free_port()
        self.router_port = self.port + 3
        routing = () if "--router-port" in more else ("--no-router",)
        first = ("--first-port", str(app_ports()))
        reach = ("--allow-local-addresses",) if local else ()
        self.flags = ("--data", str(self.data), "--port", str(self.port), *first, *routing, *reach, *more)
        self.running: Running | None = None

    def start(self, **options) -> Running:
        self.running = self.shop.procman("server", *self.flags, **options)
        try:
            self.running.wait_for("^  heroku apps")
        except AssertionError as error:
            self.running.process.kill()
            raise AssertionError(f"{error}\n{self.running.errors()}") from None
        return self.running

    def kill(self) -> None:
        assert self.running
        self.running.process.kill()
        self.running.process.wait(DEADLINE_S)

    def stop(self) -> int:
        assert self.running
        return self.running.finish(signal.SIGTERM)

    @property
    def key(self) -> str:
        return (self.data / "owner.key").read_text().strip()

    def client(self, **options) -> httpx.Client:
        accept = "application/vnd.heroku+json; version=3"
        headers = options.pop("headers", {"Accept": accept, "Authorization": f"Bearer {self.key}"})
        url = options.pop("base_url", f"http://127.0.0.1:{self.port}")
        return httpx.Client(base_url=url, headers=headers, timeout=DEADLINE_S, trust_env=False, **options)

    def call(self, method: str, path: str, body=None, status: int | None = None):
        with self.client() as client:
            answer = client.request(method, path, json=body)
        if status is None:
            assert answer.is_success, answer.text
        else:
            assert answer.status_code == status, answer.text
        return answer.json()

    def create(self, name: str) -> dict:
        app = self.call("POST", "/apps", {"name": name})
        mark = self.shop.mark.decode().partition("=")[2]
        children = str(Path(__file__).parent / "children")
        env = {MARK: mark, "PY": sys.executable, "CHILDREN": children, "APP": name}
        self.call("PATCH", f"/apps/{name}/config-vars", env)
        return app

    def release(self, name: str, types: dict[str, str], files: dict[str, bytes] | None = None) -> dict:
        """Code by upload; the release, which has begun."""
        slug = self.call("POST", f"/apps/{name}/slugs", {"process_types": types})
        packed = tarball({f"./app/{path}": data for path, data in (files or {"README": b"words\n"}).items()})
        with self.client() as client:
            put = client.put(slug["blob"]["url"], content=packed)
        assert put.is_success, put.text
        return self.call("POST", f"/apps/{name}/releases", {"slug": slug["id"]})

    def wait_for_release(self, name: str, version: int) -> str:
        """Its status once it is not pending any more."""
        return poll(lambda: self.status_of(name, version))

    def status_of(self, name: str, version: int) -> str | None:
        status = self.call("GET", f"/apps/{name}/releases/{version}")["status"]
        return None if status == "pending" else status

    def deploy(self, name: str, types: dict[str, str], files: dict[str, bytes] | None = None) -> dict:
        release = self.release(name, types, files)
        assert self.wait_for_release(name, release["version"]) == "succeeded"
        return release

    def scale(self, name: str, **quantities: int) -> None:
        updates = [{"type": kind, "quantity": count} for kind, count in quantities.items()]
        self.call("PATCH", f"/apps/{name}/formation", {"updates": updates})

    def dynos(self, name: str) -> dict[str, dict]:
        return {dyno["name"]: dyno for dyno in self.call("GET", f"/apps/{name}/dynos")}

    def wait_for_dynos(self, name: str, **states: str) -> dict[str, dict]:
        """Until exactly these are there: ``web_1="up"``."""
        wanted = {word.replace("_", "."): state for word, state in states.items()}

        def look():
            found = self.dynos(name)
            return found if {dyno: row["state"] for dyno, row in found.items()} == wanted else None

        return poll(look, lambda: str(self.dynos(name)))

    def roots(self) -> list[dict[str, str]]:
        """Environments of all dynos that live, by the kernel's word: of the first process of each. ``PID`` is added."""
        mark, found = self.shop.mark.decode(), []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            env = environment(pid)
            if f"{MARK}={env.get(MARK)}" == mark and "DYNO" in env and leads(pid):
                found.append({**env, "PID": str(pid)})
        return found

    def pids(self, name: str) -> dict[str, int]:
        """The dynos of an app, by the kernel's word: name to pid."""
        return {env["DYNO"]: int(env["PID"]) for env in self.roots() if env.get("APP") == name}

    def supervisor(self, app_id: str) -> int:
        """Its pid by its own word."""
        facts = (self.data / "apps" / app_id / "lock").read_text().splitlines()
        return next((int(line[4:]) for line in facts if line.startswith("pid ")), 0)

    def processes(self) -> list[int]:
        """All that lives of this server: by a word of its command line, which names the data directory."""
        word, found = str(self.data), []
        for name in filter(str.isdigit, os.listdir("/proc")):
            if int(name) != os.getpid() and word in command(int(name)) and is_alive(int(name)):
                found.append(int(name))
        return found

    def end_router(self) -> None:
        """HAProxy, which outlives its server, if there is one."""
        with contextlib.suppress(OSError, ValueError):
            for line in (self.data / "router" / "haproxy.pid").read_text().split():
                os.kill(int(line), signal.SIGTERM)

    def close(self) -> None:
        """End everything: who starts others first."""
        if self.running:
            self.running.close()
        deadline = time.monotonic() + DEADLINE_S
        while (left := self.processes() or self.shop.processes()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.sched_yield()
        for running in self.shop.started:
            running.close()
        for home in (self.data / "apps").glob("*"):
            groups = {name: f"{cgroups.ROOT}/{name}/{cgroups.OURS}/{home.name}" for name in cgroups.CONTROLLERS}
            poll(lambda groups=groups: cgroups.withdraw(groups))  # who was killed leaves its group a moment later


def leads(pid: int) -> bool:
    """The first process of a session: a dyno's, and no child of it."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False
