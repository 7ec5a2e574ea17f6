"""systemd units as text: how words are written so that systemd reads them back as they are (systemd.syntax(7))."""

import re
from collections.abc import Sequence
from typing import NamedTuple

MARKER = "# Written by procman install systemd"
_PLAIN = r"[A-Za-z0-9_./:,=@+-]+"
_STOP_MARGIN_S = 10  # beyond the longest grace: a supervisor's own time to kill, drain and write
_WATCHDOG_S = 60  # two signs of life in it: the only wake-ups of an idle supervisor


class Unit(NamedTuple):
    """One formation as a service. ``start`` and ``reload`` are commands, their first word an absolute path."""

    name: str
    start: Sequence[str]
    reload: Sequence[str]
    directory: str  # absolute
    environment: Sequence[tuple[str, str]]
    grace: float  # seconds, the longest of all dynos
    user: str | None  # None: the manager's own
    system: bool

    def text(self) -> str:
        """The unit file. ValueError when systemd could not read back a part of it."""
        target = "multi-user.target" if self.system else "default.target"
        lines = [
            f"{MARKER}, which replaces it when run again; without this line it will not.",
            "[Unit]",
            f"Description=Procfile formation {one_line(self.name)} (procman)",
            *(["Wants=network-online.target", "After=network-online.target"] if self.system else []),
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=notify",
            "NotifyAccess=main",
            f"WorkingDirectory={directory(self.directory)}",
            *(f"Environment={word(f'{name}={value}')}" for name, value in self.environment),
            *([f"User={self.user}"] if self.user else []),
            f"ExecStart={command(self.start)}",
            f"ExecReload={command(self.reload)}",
            "Restart=always",
            "RestartSec=1",
            "# Stopping is SIGTERM to procman alone, which ends its dynos, each within its grace, and exits with 143.",
            "KillMode=mixed",
            "KillSignal=SIGTERM",
            f"TimeoutStopSec={int(-(-self.grace // 1)) + _STOP_MARGIN_S}",
            "SuccessExitStatus=143",
            f"WatchdogSec={_WATCHDOG_S}",
            "# A dyno that the kernel ends for want of memory is procman's to start again.",
            "OOMPolicy=continue",
            "",
            "[Install]",
            f"WantedBy={target}",
        ]
        return "\n".join(lines) + "\n"


def command(words: Sequence[str]) -> str:
    """A command line for Exec…=. In the path, unlike in the arguments, systemd replaces no ``$``."""
    path, *arguments = words
    return " ".join([word(path), *(word(argument, dollars=True) for argument in arguments)])


def word(text: str, dollars: bool = False) -> str:
    """One word, in quotes where it needs them. ``dollars``: where systemd would replace ``$NAME``."""
    escaped = clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if dollars:
        escaped = escaped.replace("$", "$$")
    escaped = re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", escaped)
    return escaped if re.fullmatch(_PLAIN, escaped) else f'"{escaped}"'


def directory(path: str) -> str:
    """A path for WorkingDirectory=, which knows neither quotes nor escapes. ValueError for what it cannot hold."""
    if re.search(r"[\x00-\x1f\x7f]", path):
        raise ValueError(f"a directory called {path!r} cannot stand in a unit: it has control characters")
    # A blank at the end would be lost, a backslash would join the next line.
    return clean(path).replace("%", "%%") + ("/" if path.endswith((" ", "\\")) else "")


def one_line(text: str) -> str:
    """A text for people."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", text).replace("%", "%%")


def clean(text: str) -> str:
    """The text, which systemd wants to be UTF-8. ValueError otherwise."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} cannot stand in a unit: it is not UTF-8") from None
    return text


def unit_name(name: str) -> str:
    """``procman-NAME.service``, with every byte escaped that unit names may not have. ValueError when too long."""
    escaped = "".join(
        chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in ":_.-") else f"\\x{byte:02x}"
        for byte in name.encode("utf-8", "surrogateescape")
    )
    full = f"procman-{escaped}.service"
    if len(full) > 255:
        raise ValueError(f"the name {name!r} is too long for a unit")
    return full
