"""How a command is run where a served dyno runs: with its files and its environment, and no more rights than it has."""

import os
from collections.abc import Mapping

from procman.supervisor.child import Child
from procman.supervisor.starter import HELD, UNHOLD
from procman.supervisor.starter_isolation import Isolation, Way

PRIVILEGES = ("--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all")
ENTER = 'cd "$1" || exit 126; shift; '


def beside(isolation: Isolation, child: Child, text: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Argv and environment. What is asked before the dyno is in its place fails, and is asked again."""
    env = environ_of(child)
    unhold = UNHOLD if any(name.startswith(HELD) for name in env) else ""
    shell = (isolation.bash, "-c", f"{ENTER}{unhold}{text}", "procman", env.get("HOME", "/"))
    if isolation.way is Way.SHARED:
        return shell, env
    nsenter = f"{os.path.dirname(isolation.unshare)}/nsenter"  # of util-linux, as unshare is
    spaces = ("--target", str(child.pid), "--user", "--mount", "--ipc", "--preserve-credentials")
    return (nsenter, *spaces, isolation.setpriv, *PRIVILEGES, *shell), env


def environ_of(child: Child) -> dict[str, str]:
    """What the dyno was started with; of one that another supervisor started, as the kernel has it."""
    if child.command and not child.inherited and "HOME" in child.command.env:
        return child.command.env
    token = child.token.partition(b"=")[0]
    try:
        with open(f"/proc/{child.pid}/environ", "rb") as file:
            rows = [row.partition(b"=") for row in file.read().split(b"\0") if b"=" in row]
    except OSError:
        return {}
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in rows if name != token}
