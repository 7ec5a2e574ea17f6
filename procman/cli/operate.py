"""The verbs that look at a running formation and command it: what they print, and what they ask the supervisor."""

import os
import re
import signal
from collections.abc import Callable, Iterable
from typing import Any

from procman.cli.listing import columns, counted, emit, emit_json
from procman.cli.options import Given
from procman.cli.target import connect, find_home, succeed
from procman.cli.verb import Verb
from procman.control.protocol import Message
from procman.errors import ProcmanError, UsageError
from procman.formats import signal_name
from procman.supervisor.home import Home

ANSWER_S = 10.0  # a supervisor that says nothing so long after it should have answered does not answer
UNITS = ("B", "K", "M", "G")


def home_of(told: Given) -> Home:
    """The app that the words of the command line mean: the one whose home a socket lies in, or by its name."""
    if socket := text(told, "socket"):
        apps, name = os.path.split(os.path.dirname(os.path.abspath(socket)))
        return Home(apps, name)
    return find_home({field: text(told, field) for field in ("name", "app_root", "procfile") if text(told, field)})


def text(told: Given, field: str) -> str:
    """A field that has a text, or nothing."""
    value = told.fields.get(field)
    return value if isinstance(value, str) else ""


def ask(told: Given, verb: str, **arguments: object) -> Message:
    """One request to the supervisor that is meant; refusals are raised."""
    return ask_at(home_of(told), verb, text(told, "socket"), **arguments)


def ask_at(home: Home, verb: str, socket: str = "", **arguments: object) -> Message:
    """The same of a home. With ``patience``, seconds, the answer is there by then, true or not."""
    patience = arguments.get("patience")
    try:
        with connect(home, socket or None, patience + ANSWER_S if isinstance(patience, float) else None) as client:
            return succeed(client.call(verb, **arguments))
    except TimeoutError:
        raise ProcmanError(f"cannot reach {socket or home.name}: it does not answer", "procman list") from None


def waiting(told: Given) -> dict[str, Any]:
    """What --wait and --wait-timeout say, as arguments of a request."""
    if not (limit := text(told, "wait_timeout")):
        return {"wait": bool(told.fields.get("wait"))}
    from procman.formats.duration import parse

    try:
        seconds = parse(limit)
    except ValueError as error:
        raise UsageError(f"cannot use --wait-timeout {limit}: {error}", "--wait-timeout 60s") from None
    if not seconds:
        raise UsageError("cannot use --wait-timeout 0: nothing is up at once", "without it, nothing is waited for")
    return {"wait": True, "patience": seconds}


def report(answer: Message, as_json: bool, words: str) -> int:
    """Say that it is done: in words, or as the answer stands."""
    if as_json:
        emit_json(answer)
    else:
        emit(words)
    return 0


def start_in(home: Home, told: Given) -> int:
    """`procman start TYPE…` where the app runs already: start those in it."""
    words = list(told.arguments)
    if quantified := [word for word in words if "=" in word]:
        named = " ".join(quantified)
        raise ProcmanError(f"cannot start {named}: {home.name} runs already", f"procman scale {named}")
    answer = ask_at(home, "start", dynos=words, **waiting(told))
    return report(answer, bool(told.fields.get("json")), f"Started {listed(answer['dynos'])} in {home.name}")


def listed(names: Iterable[str]) -> str:
    """"web.1, web.2", or "nothing"."""
    return ", ".join(names) or "nothing"


def ps(told: Given, own: dict[str, bool]) -> int:
    """Print the formation, once or again and again."""
    if not told.fields.get("watch"):
        return show(told, own["json"])
    from procman.cli.screen import refresh

    return refresh(lambda: "\n".join(overview(ask(told, "ps", dynos=list(told.arguments)))))


def show(told: Given, as_json: bool) -> int:
    """Print the formation once; a dyno alone at length."""
    answer = ask(told, "ps", dynos=list(told.arguments))
    if as_json:
        emit_json(answer)
        return 0
    if told.arguments and [row["dyno"] for row in answer["dynos"]] == list(told.arguments):
        for row in answer["dynos"]:
            emit("\n".join(columns((key, str(value)) for key, value in details(row).items())))
        return 0
    emit("\n".join(overview(answer)))
    return 0


def overview(answer: Message) -> list[str]:
    """All dynos, and what the log lacks, if it does."""
    log = answer.get("log") or {}
    lost = f"The log lacks {counted(log['lost_lines'], 'line')}: {log['trouble']}" if log.get("lost_lines") else ""
    return [*table(answer["dynos"]), *(["", lost] if lost else [])]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A line a dyno, under a heading."""
    heading = ("DYNO", "STATE", "FOR", "RESTARTS", "LAST EXIT", "NEXT TRY", "MEMORY", "CPU", "PORT", "PID", "COMMAND")
    body = [tuple(details(row).values()) for row in rows]
    return columns([heading, *body], indent="") if body else ["No dynos. procman scale web=1"]


def details(row: dict[str, Any]) -> dict[str, str]:
    """What is told about a dyno, in the order of the table's columns."""
    import time

    share = 100 * row["cpu"] / row["uptime"] if row["uptime"] > 0.1 else 0.0
    return {
        "dyno": row["dyno"],
        "state": f"waiting for {row['waits_for']}" if row.get("waits_for") else row["state"],
        "for": span(time.time() - row["since"]),
        "restarts": str(row["restarts"]),
        "last exit": row["exit"] or "-",
        "next try": f"in {span(row['next_try'])}" if row["next_try"] is not None else "-",
        "memory": size(row["memory"]) if row["pid"] else "-",
        "cpu": f"{share:.0f}%" if row["pid"] else "-",
        "port": str(row["port"] or "-"),
        "pid": str(row["pid"] or "-"),
        "command": row["command"],
    }


def span(seconds: float) -> str:
    """``4s``, ``3m``, ``2h``, ``5d``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def size(count: float) -> str:
    """``512K``, ``3.5M``."""
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f}{UNITS[unit]}" if count >= 10 or not unit else f"{count:.1f}{UNITS[unit]}"


def scale(told: Given, own: dict[str, bool]) -> int:
    """Set quantities."""
    formation = {}
    for word in told.arguments:
        found = re.fullmatch(r"(.+?)(=|\+|-)([0-9]+)", word)  # process types may have dashes
        if not found:
            raise UsageError(f"cannot scale '{word}': TYPE=N is wanted", "procman scale web=2 worker+1")
        formation[found[1]] = found[2].strip("=") + found[3]
    answer = ask(told, "scale", formation=formation, **waiting(told))
    now = " ".join(f"{name}={quantity}" for name, quantity in answer["formation"].items())
    return report(answer, own["json"], f"Formation: {now}")


def restart(told: Given, own: dict[str, bool]) -> int:
    """Replace dynos."""
    answer = ask(told, "restart", dynos=list(told.arguments), **waiting(told))
    return report(answer, own["json"], f"Restarted {listed(answer['dynos'])}")


def stop(told: Given, own: dict[str, bool]) -> int:
    """Stop dynos and keep them down."""
    answer = ask(told, "stop", dynos=list(told.arguments))
    return report(answer, own["json"], f"Stopped {listed(answer['dynos'])}")


def kill(told: Given, own: dict[str, bool]) -> int:
    """Signal the root process of dynos."""
    word = text(told, "signal") or "TERM"
    try:
        name = signal_name.parse(word)
    except ValueError:
        raise UsageError(f"cannot send '{word}': no such signal", "procman kill -s HUP web.1") from None
    answer = ask(told, "kill", dynos=list(told.arguments), signal=signal.Signals[name].value)
    return report(answer, own["json"], f"Sent {name} to {listed(answer['signalled'])}")


def reload(told: Given, own: dict[str, bool]) -> int:
    """Have Procfile and env files read again."""
    answer = ask(told, "reload", **waiting(told))
    changed = f"{listed(answer['dynos'])} started anew, {listed(answer['removed'])} removed"
    return report(answer, own["json"], f"Reloaded: {changed}")


def upgrade(told: Given, own: dict[str, bool]) -> int:
    """Have the supervisor replace its program; it answers as the new one."""
    answer = ask(told, "upgrade")
    return report(answer, own["json"], f"Upgraded: the supervisor (pid {answer['pid']}) runs what is installed now")


def shutdown(told: Given, own: dict[str, bool]) -> int:
    """End the formation; returns when its supervisor has gone, also if somebody else has ended it."""
    home, socket = home_of(told), text(told, "socket") or None
    with connect(home, socket) as client:
        succeed(client.shut_down(bool(told.fields.get("now"))))
    return report({"ok": True, "name": socket or home.name}, own["json"], f"{socket or home.name} is down")


def _later(module: str, function: str) -> Callable[[Given, dict[str, bool]], int]:
    """A verb whose file is read when it is called."""

    def call(told: Given, own: dict[str, bool]) -> int:
        from importlib import import_module

        status: int = getattr(import_module(f"procman.cli.{module}"), function)(told, own)
        return status

    return call


VERBS: dict[str, Verb] = {
    "ps": Verb(
        "Show the dynos of a running formation.",
        "State, how long, restarts, why the last life ended, when the next try comes, memory, CPU, port, pid.",
        ("procman ps", "procman ps web.1", "procman ps --watch", "procman ps --json"),
        "[DYNO|TYPE]...",
        ps,
    ),
    "scale": Verb(
        "Set how many dynos of a type run.",
        "TYPE=N, TYPE+N or TYPE-N. Returns when those to go are gone and those to come are started.",
        ("procman scale web=3 worker=0", "procman scale web+1", "procman scale web=2 --wait"),
        "TYPE=N...",
        scale,
    ),
    "restart": Verb(
        "Replace dynos by new ones.",
        "All but those stopped by hand, or those named. Returns when the new ones are started; with --wait when they "
        "are up.",
        ("procman restart", "procman restart web", "procman restart web.2 --wait-timeout 60s"),
        "[DYNO|TYPE]...",
        restart,
    ),
    "stop": Verb(
        "Stop dynos while the rest goes on.",
        "They stay down until procman start or restart names them. procman shutdown ends everything.",
        ("procman stop worker", "procman stop web.2"),
        "DYNO|TYPE...",
        stop,
    ),
    "kill": Verb(
        "Send a signal to a dyno's root process.",
        "SIG is a name or a number.",
        ("procman kill -s HUP web.1", "procman kill -s KILL worker"),
        "DYNO|TYPE...",
        kill,
    ),
    "reload": Verb(
        "Read Procfile, env files and settings again.",
        "Only what changed is changed. A broken file changes nothing, and it says where it is broken.",
        ("procman reload", "procman reload --wait"),
        None,
        reload,
    ),
    "upgrade": Verb(
        "Have the supervisor run the procman that is installed now.",
        "As the same process, without restarting a dyno or losing a line. It is refused, and nothing changes, when the "
        "new program cannot go on, such as with a broken Procfile. The signal USR2 does the same.",
        ("pip install --upgrade procman && procman upgrade", "procman upgrade --name shop"),
        None,
        upgrade,
    ),
    "shutdown": Verb(
        "End a running formation, gracefully.",
        "Returns when everything has ended. A second one only waits for the same; with --now it kills at once.",
        ("procman shutdown", "procman shutdown --name shop", "procman shutdown --now"),
        None,
        shutdown,
    ),
    "logs": Verb(
        "Show the log of a formation, running or not.",
        "As heroku logs does: time, source, dyno, line. With --tail it goes on.",
        (
            "procman logs",
            "procman logs -n 500 --dyno web.1",
            "procman logs -t --source app --process-type worker",
            "procman logs --since 5m --grep Traceback",
        ),
        None,
        _later("logs", "logs"),
    ),
    "attach": Verb(
        "Join a dyno's terminal.",
        "For dynos started with a terminal (procman start --tty, or in one). Ctrl-] detaches; the dyno goes on.",
        ("procman attach web.1", "procman attach web.1 --detach-key ctrl-q"),
        "DYNO",
        _later("attach", "attach"),
    ),
    "explain": Verb(
        "Tell why a dyno is down, or was.",
        "Its last lives and how they ended, its last lines, when it is tried again, what the kernel says.",
        ("procman explain web.1", "procman explain web.1 --json"),
        "DYNO",
        _later("explain", "explain"),
    ),
    "list": Verb(
        "Show every formation of this user on this host.",
        "Running ones, and those that have left a log.",
        ("procman list", "procman list --json"),
        None,
        _later("formations", "show_all"),
    ),
    "install": Verb(
        "Write a systemd unit that starts this app at boot.",
        "Takes what start takes and matters there, and the PATH of now. systemd is told when everything has been "
        "started, and starts procman again should it end or hang: stop it with systemctl, as procman shutdown ends it "
        "only until then. Prints what to type next. Replaces only what it wrote itself.",
        (
            "procman install systemd",
            "procman install systemd web=2 worker --restart heroku --print",
            "sudo procman install systemd --system --run-as deploy -d /srv/shop",
        ),
        "systemd [TYPE[=N]]...",
        _later("install", "install"),
    ),
    "export": Verb(
        "Write the formation as another manager's files.",
        "FORMAT is compose, kubernetes, launchd, runit, supervisord, systemd, upstart, or one that another package "
        "adds to honcho's. Each dyno gets what start gives it: command, PORT, DYNO, PS and the env files' variables; "
        "release, which ends, is left out. Files are for their owner alone. Replaces only what it wrote itself.",
        (
            "procman export systemd units -a shop -u deploy",
            "procman export supervisord /etc/supervisor/conf.d -c web=2,worker=1 -p 8000",
            "procman export compose . --image registry.example.com/shop:42",
            "procman export kubernetes manifests -e .env.production",
        ),
        "FORMAT LOCATION",
        _later("export", "export"),
    ),
    "completion": Verb(
        "Print what makes a shell complete procman's words.",
        "Verbs, flags, process types of the Procfile, dynos that run, formations, policies, signals.",
        (
            "procman completion bash > ~/.local/share/bash-completion/completions/procman",
            'procman completion zsh > "${fpath[1]}/_procman"',
            "procman completion fish > ~/.config/fish/completions/procman.fish",
        ),
        "bash|zsh|fish",
        _later("complete", "print_script"),
    ),
}
