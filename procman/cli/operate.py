"""The verbs that command a running formation: what they ask the supervisor, and what they print."""

from procman.cli.options import Given
from procman.cli.request import ask, ask_of, home_of, listed, report, text, waiting
from procman.cli.target import Located, connect, succeed
from procman.errors import ProcmanError, UsageError
from procman.supervisor.home import Home


def start_in(home: Home, told: Given) -> int:
    """`procman start TYPE…` where the app runs already: start those in it."""
    words = list(told.arguments)
    if quantified := [word for word in words if "=" in word]:
        named = " ".join(quantified)
        raise ProcmanError(f"cannot start {named}: {home.name} runs already", f"procman scale {named}")
    answer = ask_of(home, told, "start", dynos=words, **waiting(told))
    began = answer["started"] if "started" in answer else answer["dynos"]  # of an earlier program
    ran = [name for name in answer["dynos"] if name not in began]
    said = [f"Started {listed(began)}"] if began or not ran else []
    said += [f"{listed(ran)} ran already"] if ran else []
    return report(answer, bool(told.fields.get("json")), f"{'; '.join(said)} in {home.name}")


def scale(told: Given, own: dict[str, bool]) -> int:
    """Set quantities."""
    import re

    if not told.arguments:
        raise UsageError("cannot scale nothing: TYPE=N is wanted", "procman scale web=2 worker+1")
    formation = {}
    for word in told.arguments:
        found = re.fullmatch(r"([^=+]+?)(=|\+|-)([0-9]+)", word)  # process types may have dashes
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
    import signal

    from procman.formats import signal_name

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
    with Located(told), connect(home, socket) as client:
        succeed(client.shut_down(bool(told.fields.get("now"))))
    return report({"ok": True, "name": socket or home.name}, own["json"], f"{socket or home.name} is down")
