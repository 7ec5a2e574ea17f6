"""Who may push: the platform's answer to ``gitpush``, and what becomes of a push."""

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from typing import NamedTuple

from procman.builds import Limits
from procman.builds.checkout import materialise
from procman.core.grant import Ends, Grant
from procman.core.records import App, User
from procman.platform import apps
from procman.platform.builds import Builds, Order
from procman.platform.callers import caller_of
from procman.platform.host import Host
from procman.platform.refusals import Refusal, missing
from procman.platform.users import find_app, log_in
from procman.store.database import Tx


class Push(NamedTuple):
    """A push that is going on."""

    user: User
    app: App


class Commit(NamedTuple):
    """What the hook hands over. ``environment``: git's, which points to the new objects in their quarantine."""

    commit: str
    previous: str
    branch: str
    environment: dict[str, str]


class GitAccess:
    """Grants pushes, each under a secret that the hook proves itself by."""

    def __init__(self, host: Host, builds: Builds) -> None:
        self._host = host
        self._builds = builds
        self._pushes: dict[str, Push] = {}

    async def authorize(self, app_name: str, key: str, write: bool, ends: Ends) -> Grant | None:
        """See ``gitpush.transport.Access``."""
        login = await log_in(self._host, key)
        if login is None:
            if key:
                self._host.attempts.wrong_key(caller_of(*ends))
            return None

        def find(tx: Tx) -> App:
            return find_app(tx, login.user, app_name)

        try:
            app = await self._host.db.run(find)
        except Refusal as refusal:
            if not (write and self._host.settings.push_creates_apps):
                raise LookupError(f"{refusal.message} heroku create {app_name}") from None
            app = await self._create(login.user, app_name)
        secret = secrets.token_urlsafe(32)
        self._pushes[secret] = Push(login.user, app)
        layout = self._host.layout
        return Grant(
            app.name, layout.repository(app.id), layout.deploy_lock(app.id), layout.path("repos", "hooks"),
            layout.socket, secret,
        )

    async def _create(self, user: User, app_name: str) -> App:
        """The first push makes the app, where the server is set up so."""
        try:
            return await apps.create(self._host, user, app_name)
        except Refusal as refusal:
            raise LookupError(refusal.message) from None

    def forget(self, grant: Grant) -> None:
        """See ``gitpush.transport.Access``."""
        self._pushes.pop(grant.secret, None)

    def push(self, secret: str) -> Push:
        """The push that a hook speaks for. Raises Refusal."""
        found = self._pushes.get(secret)
        if found is None:
            raise missing("push")
        return found

    async def deploy(self, secret: str, commit: Commit) -> AsyncIterator[bytes]:
        """Build and release what was pushed: what the pusher is shown, then NUL and the verdict as JSON."""
        user, app = self.push(secret)
        repository = self._host.layout.repository(app.id)
        subject, paths = await asyncio.to_thread(look_at, repository, commit)
        limits = Limits(local=self._host.reach.local)
        order = Order(
            lambda folder: materialise(repository, commit.commit, folder, commit.environment, limits).notes,
            commit.commit,
            subject,
            source={"branch": commit.branch},
            pushed=True,
            lock=False,
            before=(*paths, "Compressing source files... done.", "Building source:", ""),
        )
        _, run = await self._builds.start(user, app, order)
        async for chunk in self._builds.outputs.read(run.output_name):
            yield chunk.replace(b"\0", b"")
        ended = await run.done
        yield b'\0{"ok":true}' if ended.ok else b'\0{"ok":false}'


def look_at(repository: str, commit: Commit) -> tuple[str, tuple[str, ...]]:
    """The commit's subject, and, of a push upon another commit, how many files it changes (as Heroku says it)."""
    subject = git(repository, commit, "log", "-1", "--format=%s", commit.commit).strip()[:200]
    if not commit.previous.strip("0"):
        return subject, ()
    changed = git(repository, commit, "diff", "--name-only", "-z", commit.previous, commit.commit).count("\0")
    return subject, (f"Updated {changed} paths from {commit.previous[:7]}",)


def git(repository: str, commit: Commit, *words: str) -> str:
    """What git prints, in view of the pushed objects; nothing when it refuses."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", f"--git-dir={repository}", *words],
        env={**commit.environment, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace")
