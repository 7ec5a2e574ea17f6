"""The release phase: the type ``release`` in a one-off dyno of the new release, before anything else of it runs."""

import random

from procman.core.plan import Plan
from procman.core.records import Release
from procman.platform.host import Host
from procman.platform.outputs import Outputs
from procman.runtimes.base import OneOff
from procman.store import tables


class ReleasePhase:
    """One run of a release command (Heroku: release-phase). Its output is stored, logged, and may be followed."""

    def __init__(self, host: Host, outputs: Outputs, release: Release, plan: Plan) -> None:
        self.output = outputs.open()
        self.release = release
        self.status: int | None = None  # known before the output is complete
        self._host = host
        self._plan = plan
        self._name = f"release.{random.randint(1000, 9999)}"  # noqa: S311 - a name, not a secret

    async def announce(self) -> None:
        """From here on the release counts as begun: it is never run a second time."""
        release, now = self.release, self._host.now()
        try:
            await self._host.db.run(
                lambda tx: tables.releases.update(tx, release.id, output=self.output.name, updated_at=now)
            )
        except BaseException:
            self.output.close()
            raise
        self._host.say(release.app_id, f"Running release v{release.version} commands by user {release.user_email}")

    async def run(self) -> int:
        """Run it to its end; the exit status, 1 when it could not be run."""
        release, command = self.release, self._plan.types["release"].command
        one_off = OneOff(self._name, command, self._plan, tty=False, ttl=self._host.settings.release_timeout)
        rest = b""
        try:
            stream = await self._host.runtime.attach_one_off(release.app_id, one_off)
            while chunk := await stream.read():
                self.output.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._log(line)
            if rest:
                self._log(rest)
            self.status = status = await self._host.runtime.wait_one_off(release.app_id, self._name)
        finally:
            self.output.close()
        if status:
            self._host.say(release.app_id, f"Release v{release.version} command failed by user {release.user_email}")
        return status

    def _log(self, line: bytes) -> None:
        text = line.rstrip(b"\r").decode("utf-8", "replace")
        self._host.log.write(self.release.app_id, "app", self._name, text)
