"""The real heroku client, pinned in ``heroku/package-lock.json``, in a home of its own, against a server of ours."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "heroku"
PROGRAM = FOLDER / "node_modules" / ".bin" / "heroku"
WHEN = re.compile(
    r"\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?(Z| UTC| [+-]\d{4}|[+-]\d\d:\d\d)?"
    r"|\w{3} \w{3} \d\d \d{4} \d\d:\d\d:\d\d GMT\+0000 \(Coordinated Universal Time\)"
)
AGO = re.compile(r" \((~ )?[^()]*ago\)")
KEY = re.compile(r"HRKU-[\w-]{43}")
RULER = re.compile("─+")  # as long as the times in the table happen to be
ONE_OFF = re.compile(r"\brun\.\d{4}\b")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Said(NamedTuple):
    """What one command printed, and how it ended."""

    status: int
    out: str
    err: str


@contextmanager
def served(*command, **env):
    """A server process that prints its address and key as a line of JSON; ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, env={**os.environ, **env}, text=True,
        cwd=Path(__file__).parent.parent,
    )
    try:
        line = process.stdout.readline()
        assert line, "the server did not start"
        yield json.loads(line)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class Client:
    """Runs commands in ``home``, which may hold a git work tree and is nobody else's."""

    def __init__(self, home, url, key=None, **env):
        self.home = home
        self.url = url
        (home / "cache" / "heroku").mkdir(parents=True)
        (home / "cache" / "heroku" / "terms-of-service").touch()  # else the first command speaks of them
        self.env = {
            "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",  # git asks `heroku` for credentials
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "HEROKU_HOST": url,
            "HEROKU_PARTICLEBOARD_URL": url,
            "HEROKU_BUILDPACK_REGISTRY_URL": url,
            "HEROKU_LOGIN_HOST": url,
            "HEROKU_NETRC_WRITE": "true",
            "HEROKU_LOGS_COLOR": "0",
            "NO_COLOR": "1",
            "DISABLE_TELEMETRY": "true",
            "HEROKU_SKIP_NEW_VERSION_CHECK": "true",
            "HEROKU_DISABLE_AUTOUPDATE": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "TZ": "UTC",
            **({"HEROKU_API_KEY": key} if key else {}),
            **env,
        }

    def start(self, *words, **options):
        """The command, going on."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([str(PROGRAM), *words], env=self.env, cwd=self.home, **options)

    def run(self, *words, stdin=None, seconds=60):
        """The command, to its end, what it printed normalised."""
        process = self.start(*words, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
        try:
            out, err = process.communicate(stdin, seconds)
        finally:
            process.kill()
            process.wait()
        return Said(process.returncode, self.plain(out), self.plain(err))

    def plain(self, data):
        """Text with what differs from run to run replaced, and without padding."""
        text = data.decode().replace(self.url, "URL").replace(self.url.removeprefix("http://"), "HOST")
        text = AGO.sub("", WHEN.sub("WHEN", UUID.sub("ID", text)))
        text = RULER.sub("───", ONE_OFF.sub("run.N", KEY.sub("KEY", text)))
        return "\n".join(line.rstrip() for line in text.splitlines()).strip()
