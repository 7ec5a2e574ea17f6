"""`procman connect HOST`: a tunnel by ssh to a server elsewhere, as the client sends its key to localhost only."""

import contextlib
import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from procman.cli.listing import emit
from procman.cli.options import Given
from procman.cli.server_env import lines, variables
from procman.errors import ProcmanError, UsageError
from procman.files import write_private
from procman.server.addresses import Addresses

NAMES = ("HEROKU_HOST", "HEROKU_GIT_HOST", "HEROKU_API_KEY")


def connect(told: Given, _own: Mapping[str, bool]) -> int:
    """Open the tunnel and print what a shell needs, or close it."""
    if len(told.arguments) != 1 or told.arguments[0].startswith("-"):
        raise UsageError("cannot connect: one host is wanted", "procman connect deploy@example.com")
    tunnel = Tunnel(told.arguments[0], os.environ)
    if told.fields.get("close"):
        tunnel.close()
        return 0
    command, data = told.fields.get("command"), told.fields.get("data")
    procman = command if isinstance(command, str) else "procman"
    flags = f" --data {shlex.quote(data)}" if isinstance(data, str) else ""
    tunnel.open()
    found = exported(tunnel.run(f"{procman} server env{flags}"), tunnel.host)
    authority = tunnel.save("ca.pem", tunnel.run(f"{procman} server ca{flags}"))
    api, git = urlsplit(found["HEROKU_HOST"]), found["HEROKU_GIT_HOST"]
    ports = [api.port or 0, int(git.rpartition(":")[2])]
    tunnel.forward([*ports, ports[1] + 1])
    addresses = Addresses(found["HEROKU_HOST"], git, "", None)
    emit("\n".join(lines(variables(addresses, found["HEROKU_API_KEY"], authority, os.environ))))
    if os.isatty(1):
        print(f'For your shell: eval "$(procman connect {shlex.quote(tunnel.host)})"', file=sys.stderr)
    return 0


class Tunnel:
    """One ssh connection to a host, in the background, which further ones share (ssh_config(5): ControlMaster)."""

    def __init__(self, host: str, environ: Mapping[str, str]) -> None:
        self.host = host
        state = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
        name = hashlib.sha256(host.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._folder = os.path.join(state, "procman", "connect", name)
        self._socket = os.path.join(self._folder, "ssh")

    def open(self) -> None:
        """Have a connection: the one of before, or a new one, for which ssh may ask for a password."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        if self._ssh("-O", "check", self.host, quiet=True).returncode == 0:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._socket)
        options = ("-o", "ServerAliveInterval=15", "-o", "ControlPersist=no")
        # Not our stdout: in $(…) the shell would wait for the tunnel's end.
        if self._ssh("-M", "-f", "-N", *options, self.host, quiet=False).returncode:
            raise ProcmanError(f"cannot connect to {self.host}: ssh could not", f"ssh {shlex.quote(self.host)}")

    def run(self, command: str) -> bytes:
        """What a command prints there. Raises ProcmanError."""
        done = self._ssh(self.host, command, quiet=True)
        if done.returncode:
            words = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"])[0]
            raise ProcmanError(f"cannot ask {self.host}: {words}", f"ssh {shlex.quote(self.host)} {command}")
        return bytes(done.stdout)

    def forward(self, ports: Sequence[int]) -> None:
        """Let ports of this host lead to the same ones there: what the server tells of addresses is true here too."""
        for port in ports:
            where = f"127.0.0.1:{port}:127.0.0.1:{port}"
            done = self._ssh("-O", "forward", "-L", where, self.host, quiet=True)
            if done.returncode:
                raise ProcmanError(
                    f"cannot forward port {port} to {self.host}: is it taken here?",
                    f"procman connect --close {shlex.quote(self.host)}, or a server with another --port there",
                )

    def save(self, name: str, data: bytes) -> str:
        """Keep a file that came from there; its path."""
        path = os.path.join(self._folder, name)
        write_private(path, data, lasting=False)
        return path

    def close(self) -> None:
        """End the connection. Raises ProcmanError when there is none."""
        if self._ssh("-O", "exit", self.host, quiet=True).returncode:
            raise ProcmanError(f"cannot close the tunnel to {self.host}: there is none")

    def _ssh(self, *words: str, quiet: bool) -> "subprocess.CompletedProcess[bytes]":
        command = ["ssh", "-S", self._socket, *words]
        output = subprocess.PIPE if quiet else subprocess.DEVNULL
        try:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output if quiet else None, check=False
            )
        except FileNotFoundError:
            raise ProcmanError("cannot connect: there is no ssh program", "apt-get install openssh-client") from None


def exported(said: bytes, host: str) -> dict[str, str]:
    """What the server's `export NAME=value` lines say. Raises ProcmanError when something is missing."""
    found = {}
    for line in said.decode("utf-8", "replace").splitlines():
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        if len(words) == 2 and words[0] == "export":
            name, _, value = words[1].partition("=")
            found[name] = value
    if any(not found.get(name) for name in NAMES):
        raise ProcmanError(f"cannot use what {host} says: `procman server env` printed no addresses there")
    return found
