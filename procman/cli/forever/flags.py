"""The words behind `procman forever`: an action, flags before or behind it, and a script with words of its own."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from procman.cli.options import Option, Value, flags_of
from procman.errors import UsageError

HINT = "procman forever --help"
RUN = ""  # no action: in the foreground

ACTIONS = {
    "start": "Run SCRIPT in the background. Status 1 if it does not stay up.",
    "stop": "Stop ID, UID, PID, INDEX or SCRIPT; returns when it is down.",
    "restart": "Restart ID, UID, PID, INDEX or SCRIPT; returns when it runs again.",
    "list": "Show what runs.",
    "logs": "Show the last lines of ID, UID, INDEX or SCRIPT, also of one that has ended; alone, where the logs are.",
    "stopall": "Stop all.",
    "restartall": "Restart all.",
    "cleanlogs": "Delete the logs of what does not run, and say so.",
    "stopbypid": "As stop, for a PID.",
    "help": "Explain all this.",
}
WORDLESS = {"stopall": "stop", "restartall": "restart", "list": "logs", "cleanlogs": ""}  # and what takes words instead
GONE = {
    "config": "there is nothing to configure",
    "set": "there is nothing to configure",
    "clear": "there is nothing to configure",
    "columns": "the columns are always the same; procman forever list --json has all there is to know",
}
FLAGS = (
    Option("max", ("-m", "--max"), "MAX", "Run it MAX times in all, then exit with the last status."),
    Option("log_file", ("-l", "--logFile"), "FILE", "Write everything to FILE."),
    Option("out_file", ("-o", "--outFile"), "FILE", "Write its standard output to FILE."),
    Option("err_file", ("-e", "--errFile"), "FILE", "Write its standard error to FILE."),
    Option("append", ("-a", "--append"), None, "Append to these files (default: what was there goes to FILE.1)."),
    Option("command", ("-c", "--command"), "COMMAND", "Run SCRIPT by COMMAND (default: by its suffix)."),
    Option("silent", ("-s", "--silent"), None, "Do not pass its output through."),
    Option("watch", ("-w", "--watch"), None, "Restart it when files change."),
    Option("watch_directory", ("--watchDirectory",), "DIR", "Watch DIR (default: where it runs)."),
    Option("watch_ignore", ("--watchIgnore",), "GLOB", "Do not watch these; .foreverignore has more.", True),
    Option("min_uptime", ("--minUptime",), "MS", "A shorter life is followed by a pause (default: 1000)."),
    Option("spin_sleep", ("--spinSleepTime",), "MS", "That pause (default: 0 to 30 s, longer each time)."),
    Option("kill_signal", ("--killSignal",), "SIG", "What a stop sends first (default: SIGTERM)."),
    Option("kill_ttl", ("--killTTL",), "MS", "From that signal to SIGKILL (default: 10000)."),
    Option("kill_tree", ("-t", "--killTree"), None, "Stop its whole process tree. Always so."),
    Option("pid_file", ("--pidFile",), "FILE", "Keep its process id in FILE."),
    Option("uid", ("-u", "--uid"), "UID", "What it is called (default: by the script)."),
    Option("id", ("--id",), "ID", "Another name."),
    Option("source_dir", ("--sourceDir",), "DIR", "The directory of SCRIPT (default: here)."),
    Option("working_dir", ("--workingDir",), "DIR", "Run it in DIR (default: that of --sourceDir)."),
    Option("path", ("-p", "--path"), "DIR", "Keep state in DIR, and the file of -l if that is relative."),
    Option("number", ("-n", "--number"), "N", "logs: the last N lines (default: 100)."),
    Option("fifo", ("-f", "--fifo"), None, "logs: go on with what is written from now on."),
    Option("json", ("--json",), None, "list: print one JSON object."),
    Option("colors", ("--colors", "--color"), None, "There are none.", off=("--no-colors", "--no-color")),
    Option("plain", ("--plain",), None, "The same."),
    Option("debug", ("-d", "--debug"), None, "Nothing more is said than always."),
    Option("verbose", ("-v", "--verbose"), None, "The same."),
    Option("help", ("-h", "--help"), None, "Explain all this."),
    Option("version", ("--version",), None, "Print the version."),
)
TABLE = flags_of(FLAGS)


class Asked(NamedTuple):
    """The command line, read. ``literal``: the words came behind ``--`` and are a command, not a script."""

    action: str
    fields: dict[str, Value]
    words: list[str]
    literal: bool = False


def read(argv: Sequence[str]) -> Asked:
    """Raises UsageError. Whatever stands behind the script is the script's."""
    action, fields, words = RUN, dict[str, Value](), list[str]()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--" and not words:
            return Asked(action, fields, rest, literal=True)
        if word.startswith("-") and word != "-":
            take_flag(word, rest, fields)
        elif not action and not words and (word in ACTIONS or word in GONE):
            action = word
        else:
            words.append(word)
            if action in (RUN, "start"):
                return Asked(action, fields, words + rest)
    return Asked(action, fields, words)


def take_flag(word: str, rest: list[str], fields: dict[str, Value]) -> None:
    """Read one flag, with its value from ``rest``. Short switches may be bundled (``-wa``)."""
    long = word.startswith("--")
    flag, equals, attached = word.partition("=") if long else (word[:2], word[2:3], word[2:])
    if flag not in TABLE:
        near = get_close_matches(flag, TABLE, 1)
        raise UsageError(f"cannot use {flag}: forever has no such flag", f"{near[0]}?" if near else HINT)
    option, on = TABLE[flag]
    if option.metavar is None:
        if long and equals:
            if attached not in ("true", "false"):
                raise UsageError(f"cannot use {word}: {flag} takes no value", HINT)
            on = on is (attached == "true")
        elif equals:
            rest.insert(0, f"-{attached}")
        fields[option.name] = on
        return
    if not equals:
        if not rest:
            raise UsageError(f"cannot use {flag}: {option.metavar} is missing", HINT)
        attached = rest.pop(0)
    if option.repeat:
        collected = fields.setdefault(option.name, [])
        assert isinstance(collected, list)  # a repeated option collects nothing else
        collected.append(attached)
    else:
        fields[option.name] = attached


def named(asked: Asked) -> list[str]:
    """The words that say who is meant. Raises UsageError when there are none."""
    if not asked.words:
        raise UsageError(f"cannot {asked.action}: who is meant?", f"procman forever {asked.action} UID; {HINT}")
    return asked.words


def check_wordless(asked: Asked) -> None:
    """Raises UsageError for a word behind an action that is for all: whoever writes one means that one alone."""
    if asked.words and asked.action in WORDLESS:
        word, instead = asked.words[0], WORDLESS[asked.action]
        hint = f"procman forever {instead} {word}" if instead else f"procman forever {asked.action}"
        raise UsageError(f"cannot {asked.action} {word}: {asked.action} takes no names", hint)


def help_text() -> str:
    """What ``--help`` prints."""
    lines = [
        "Usage: procman forever [ACTION] [OPTIONS] SCRIPT [ARGS]...",
        "       procman forever [ACTION] [OPTIONS] -- COMMAND [ARGS]...",
        "",
        "  Keep one program alive: restarted whenever it ends, given up never. Without an action in the foreground.",
        "",
        "Actions:",
        *(f"  {action:<11} {words}" for action, words in ACTIONS.items()),
        "",
        "Options:",
    ]
    for option in FLAGS:
        names = ", ".join((*option.flags, *option.off)) + (f" {option.metavar}" if option.metavar else "")
        lines += [f"  {names:<28} {option.help}"] if len(names) <= 28 else [f"  {names}", f"  {'':<28} {option.help}"]
    lines += [
        "",
        "Examples:",
        "  procman forever app.js",
        "  procman forever start -l app.log -a --uid shop app.js --port 8000",
        "  procman forever -- gunicorn --bind 0.0.0.0:8000 app:app",
        "  procman forever start production.json",
        "  procman forever list",
        "  procman forever stop shop",
    ]
    return "\n".join(lines)
