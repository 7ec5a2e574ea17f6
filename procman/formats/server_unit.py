"""The systemd unit of a server, which is kept alive, and ends without what it started (systemd.service(5))."""

from collections.abc import Sequence
from typing import NamedTuple

from procman.formats.systemd_unit import command, word

MARKER = "# Written by procman server install"
STOP_S = 30
WATCHDOG_S = 60


class ServerUnit(NamedTuple):
    """``start``: a command, its first word an absolute path."""

    start: Sequence[str]
    environment: Sequence[tuple[str, str]]
    system: bool

    def text(self) -> str:
        """The unit file. ValueError when systemd could not read back a part of it."""
        target = "multi-user.target" if self.system else "default.target"
        lines = [
            f"{MARKER}, which replaces it when run again; without this line it will not.",
            "[Unit]",
            "Description=procman server",
            *(["Wants=network-online.target", "After=network-online.target"] if self.system else []),
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=notify",
            "NotifyAccess=main",
            *(f"Environment={word(f'{name}={value}')}" for name, value in self.environment),
            f"ExecStart={command(self.start)}",
            "Restart=always",
            "RestartSec=1",
            "# Supervisors, their dynos and the router go on while the server is stopped or replaced.",
            "KillMode=process",
            f"TimeoutStopSec={STOP_S}",
            f"WatchdogSec={WATCHDOG_S}",
            "# All dynos count as this unit's; each has limits of its own.",
            "TasksMax=infinity",
            "LimitNOFILE=524288",
            "OOMPolicy=continue",
            "",
            "[Install]",
            f"WantedBy={target}",
        ]
        return "\n".join(lines) + "\n"
