"""What users of other programs type out of habit, and how it is said here."""

from collections.abc import Mapping

VERBS: Mapping[str, str] = {
    **dict.fromkeys(("status", "st", "jlist", "top"), "ps"),
    "ls": "list",
    "monit": "ps --watch",
    **dict.fromkeys(("up", "startall"), "start"),
    "daemon": "start --detach",
    **dict.fromkeys(("down", "quit", "exit", "halt", "stopall"), "shutdown"),
    **dict.fromkeys(("delete", "del", "rm", "remove"), "scale TYPE=0"),
    "signal": "kill -s HUP TYPE",
    **dict.fromkeys(("tail", "echo", "follow"), "logs -t"),
    **dict.fromkeys(("describe", "inspect", "why"), "explain DYNO"),
    **dict.fromkeys(("exec", "console"), "run CMD"),
    "startup": "install systemd",
    **dict.fromkeys(("update", "reread"), "reload"),
}
FLAGS: Mapping[str, Mapping[str, str]] = {
    "start": {
        **dict.fromkeys(("-d", "-D", "--daemon", "--daemonize", "--background"), "start --detach"),
        **dict.fromkeys(("-l", "--processes"), "start web worker"),
        "-i": "start web=4",
        "--no-colour": "start --no-color",
        "-w": "start --watch",
    },
    "ps": {"-w": "ps --watch", "--all": "list"},
    "logs": {"-f": "logs -t", "--lines": "logs -n 100", **{f"-{digit}": "logs -n 100" for digit in "123456789"}},
    "restart": {"--all": "restart"},
    "stop": {"--all": "stop all"},
    "shutdown": dict.fromkeys(("--force", "--kill", "-9"), "shutdown --now"),
}
