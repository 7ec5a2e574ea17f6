"""A git server for tests: the real transport and hook on loopback, with a stand-in for the platform behind them."""

import asyncio
import json
import os
import subprocess
import threading
from pathlib import Path

import uvicorn
from starlette.responses import StreamingResponse

from procman.core.grant import Grant
from procman.gitpush.repository import write_hooks
from procman.gitpush.transport import Git

KEY = "key-of-dev"


class Threaded:
    """uvicorn in a thread, on a free port of loopback or on a Unix socket."""

    def __init__(self, app, **where):
        config = uvicorn.Config(app, log_level="warning", lifespan="off", interface="asgi3", **where)
        self.server = uvicorn.Server(config)
        self.up = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        assert self.up.wait(60)

    def run(self):
        async def serve():
            self.server.config.load()
            self.server.lifespan = self.server.config.lifespan_class(self.server.config)
            await self.server.startup()
            self.up.set()
            await self.server.main_loop()
            await self.server.shutdown()

        asyncio.run(serve())

    @property
    def port(self) -> int:
        return self.server.servers[0].sockets[0].getsockname()[1]

    def close(self):
        self.server.should_exit = True
        self.thread.join(60)


class GitServer:
    """Deploys every push with the words in ``output``, and fails it when ``ok`` is false.

    ``gate``: deploys wait for it. ``pushes``: what the hook sent.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self.repository = directory / "demo.git"
        self.hooks = directory / "hooks"
        self.socket = directory / "server.sock"
        self.output, self.ok = b"-----> Building\n", True
        self.pushes = []
        self.begun, self.gate = threading.Semaphore(0), threading.Event()
        self.gate.set()
        write_hooks(str(self.hooks))
        self.inner = Threaded(self.internal, uds=str(self.socket))
        self.outer = Threaded(Git(self), host="127.0.0.1", port=0)

    async def authorize(self, app_name, key, write, ends):
        if key != KEY:
            return None
        if app_name != "demo":
            raise LookupError(f"No app called {app_name}")
        lock = str(self.directory / "demo.lock")
        return Grant("demo", str(self.repository), lock, str(self.hooks), str(self.socket), "secret")

    def forget(self, grant):
        pass

    async def internal(self, scope, receive, send):
        assert scope["path"] == "/internal/pushes/secret"
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.pushes.append(json.loads(body))
        self.begun.release()

        async def chunks():
            yield self.output
            await asyncio.to_thread(self.gate.wait)
            yield b"\0" + json.dumps({"ok": self.ok}).encode()

        await StreamingResponse(chunks())(scope, receive, send)

    def url(self, name="demo", key=KEY) -> str:
        return f"http://heroku:{key}@127.0.0.1:{self.outer.port}/{name}.git"

    def close(self):
        self.gate.set()
        self.outer.close()
        self.inner.close()


class Clone:
    """Somebody's work tree."""

    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir()
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            **dict.fromkeys(
                ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"), "dev@example.com"
            ),
        }
        self.git("init", "--quiet", "--initial-branch=main")

    def popen(self, *words, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
        return subprocess.Popen(["git", *words], cwd=self.directory, env=self.env, **pipes)

    def git(self, *words, status=0) -> str:
        """Run git; what it prints on both its outputs."""
        process = self.popen(*words)
        text, _ = process.communicate(timeout=60)
        assert process.returncode == status, f"git {words} ended with {process.returncode}:\n{text}"
        return text

    def commit(self, message="change", **files: str | bytes) -> str:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (self.directory / name.replace("__", ".")).write_bytes(data)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()
