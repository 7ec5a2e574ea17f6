"""Control groups of dynos: what they use, how much they may, and which processes they consist of.

The server, as root, makes a group for each app and gives it to the app's user (``prepare``). In it, the app's
supervisor makes a group for each life of a dyno, with no right beyond that. Both kinds of hierarchy are spoken: version
1, with one for memory and one for pids, and version 2. Nothing here raises: who gets no group is told so, and does
without.
"""

import os
import signal
from collections.abc import Callable, Iterable, Mapping

from procman.core.plan import Limits
from procman.supervisor.memory_rules import Usage

ROOT = "/sys/fs/cgroup"
OURS = "procman"
KEEPER = "supervisor"  # version 2: processes live in leaves only, so the supervisor needs one too
CONTROLLERS = ("memory", "pids")


class Group:
    """The groups of one life of a dyno, by controller."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.paths = dict(paths)

    def entries(self) -> list[str]:
        """The files that a process writes its pid to when it enters."""
        return [f"{path}/cgroup.procs" for path in self.paths.values()]

    def members(self) -> list[int]:
        """Pids of all processes in it, also of those that left their session and cleared their environment."""
        return sorted({pid for path in self.paths.values() for pid in numbers(f"{path}/cgroup.procs")})

    def usage(self) -> Usage | None:
        """What it uses now; None when nothing of the dyno is in a group that counts memory."""
        for controller, read in (("memory", usage_v1), ("unified", usage_v2)):
            path = self.paths.get(controller)
            if path and has_processes(path):
                return read(path)
        return None

    def counts_kills(self) -> bool:
        """Whether it counts memory, and those whom want of that has killed."""
        return bool({"memory", "unified"} & self.paths.keys())

    def kills(self) -> int:
        """How often the kernel has killed for want of memory in it."""
        files = (("memory", "memory.oom_control"), ("unified", "memory.events"))
        return sum(
            facts(f"{self.paths[controller]}/{name}").get("oom_kill", 0)
            for controller, name in files
            if controller in self.paths
        )

    def peak(self) -> int:
        """The most memory it ever used, file pages too."""
        files = (("memory", "memory.max_usage_in_bytes"), ("unified", "memory.peak"))
        return sum(number(f"{self.paths[controller]}/{name}") for controller, name in files if controller in self.paths)

    def remove(self) -> bool:
        """Remove it once it is empty. False: something still lives in it, or is not reaped yet."""
        left = [path for path in self.paths.values() if not drop(path)]
        return not left


def prepare(app_id: str, uid: int, root: str = ROOT) -> dict[str, str]:
    """Make an app's groups and give them to its user; {} where that cannot be. For root, before the supervisor."""
    base: dict[str, str] = {}
    if os.path.exists(f"{root}/cgroup.controllers"):
        if unified := enable(root, app_id):
            base = {"unified": unified}
    else:
        for controller in CONTROLLERS:
            path = f"{root}/{controller}/{OURS}/{app_id}"
            if os.path.isdir(f"{root}/{controller}") and make(path):
                base[controller] = path
    given = {controller: path for controller, path in base.items() if give(path, uid)}
    if "unified" in given:
        make(f"{given['unified']}/{KEEPER}")
        give(f"{given['unified']}/{KEEPER}", uid)
    return given


def enable(root: str, app_id: str) -> str:
    """Version 2: the app's group with memory and pids counted in what lies below it; "" if that is refused."""
    path = f"{root}/{OURS}/{app_id}"
    if not make(path):
        return ""
    for parent in (root, f"{root}/{OURS}", path):
        for controller in CONTROLLERS:
            put(f"{parent}/cgroup.subtree_control", f"+{controller}")
    if CONTROLLERS[0] in text(f"{path}/cgroup.subtree_control").split():
        return path
    drop(path)  # the kernel counts memory elsewhere, in a hierarchy of version 1
    return ""


def admit(base: Mapping[str, str], pid: int) -> bool:
    """Version 2: move the supervisor into the app's subtree; only from there may it move its dynos. For root."""
    path = base.get("unified")
    return path is None or put(f"{path}/{KEEPER}/cgroup.procs", str(pid))


def withdraw(base: Mapping[str, str]) -> bool:
    """Remove an app's groups, after its last dyno and its supervisor have gone. For root."""
    done = sweep(base)
    left = [path for path in base.values() if not (drop(f"{path}/{KEEPER}") and drop(path))]
    return done and not left


def create(base: Mapping[str, str], name: str, limits: Limits, say: Callable[[str], None]) -> Group | None:
    """The group of one life of a dyno, with its limits set: memory at which it is killed, and processes.

    ``name``: such as ``web.1.5.1``, type, number, generation, run. None when there are none, of which ``say`` hears.
    """
    made: dict[str, str] = {}
    for controller, parent in base.items():
        path = f"{parent}/{name}"
        drop(path)  # what an earlier life left would count as this one's
        if make(path):
            made[controller] = path
        else:
            say(f"No control group for {controller} in {parent}: what dynos use is sampled instead")
    for file, value in settings(made, limits):
        put(file, str(value))
    return Group(made) if made else None


def settings(paths: Mapping[str, str], limits: Limits) -> list[tuple[str, int | str]]:
    """Files of groups, and what is to be in them. Swap counts too (Heroku: R15 is about RSS and swap)."""
    processes = limits.processes or "max"
    wanted: list[tuple[str, str, int | str]] = [
        ("memory", "memory.limit_in_bytes", limits.vast),
        ("memory", "memory.memsw.limit_in_bytes", limits.vast),
        ("pids", "pids.max", processes),
        ("unified", "memory.max", limits.vast),
        ("unified", "memory.swap.max", max(limits.vast - limits.memory, 0)),
        ("unified", "memory.oom.group", 1),
        ("unified", "pids.max", processes),
    ]
    return [(f"{paths[controller]}/{name}", value) for controller, name, value in wanted if controller in paths]


def sweep(base: Mapping[str, str], keep: Iterable[str] = ()) -> bool:
    """End what an earlier supervisor left in dynos' groups, and remove them, but for those to keep.

    False when something is left: to be called again once the dead have been reaped.
    """
    done, kept = True, {KEEPER, *keep}
    for parent in base.values():
        try:
            names = [entry.name for entry in os.scandir(parent) if entry.is_dir() and entry.name not in kept]
        except OSError:
            continue
        for name in names:
            kill(f"{parent}/{name}")
            done = drop(f"{parent}/{name}") and done
    return done


def kill(path: str) -> None:
    """SIGKILL to all that is in a group: at one stroke where the kernel can (version 2, Linux 5.14), so that nothing
    forks its way out; else one by one.
    """
    if os.path.exists(f"{path}/cgroup.kill") and put(f"{path}/cgroup.kill", "1"):
        return
    for pid in numbers(f"{path}/cgroup.procs"):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue


def usage_v1(path: str) -> Usage:
    """From ``memory.stat`` of version 1 (kernel: admin-guide/cgroup-v1/memory)."""
    stat = facts(f"{path}/memory.stat")
    return Usage(
        rss=stat.get("total_rss", 0),
        cache=stat.get("total_cache", 0),
        swap=stat.get("total_swap", 0),
        shared=stat.get("total_shmem", 0),
        pgpgin=stat.get("total_pgpgin", 0),
        pgpgout=stat.get("total_pgpgout", 0),
    )


def usage_v2(path: str) -> Usage | None:
    """From ``memory.stat`` of version 2 (kernel: admin-guide/cgroup-v2), which does not count pages in and out."""
    stat = facts(f"{path}/memory.stat")
    if not stat:
        return None
    return Usage(
        rss=stat.get("anon", 0),
        cache=stat.get("file", 0),
        swap=number(f"{path}/memory.swap.current"),
        shared=stat.get("shmem", 0),
    )


def has_processes(path: str) -> bool:
    """Whether anything is in a group."""
    return bool(numbers(f"{path}/cgroup.procs"))


def facts(path: str) -> dict[str, int]:
    """Lines of a name and a number."""
    rows = (line.split() for line in text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def numbers(path: str) -> list[int]:
    """Numbers, one a line."""
    return [int(word) for word in text(path).split() if word.isdigit()]


def number(path: str) -> int:
    """One number; 0 when there is none."""
    return next(iter(numbers(path)), 0)


def text(path: str) -> str:
    """A file of the kernel's; nothing when it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def put(path: str, value: str) -> bool:
    """Write to a file of the kernel's."""
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(value)
    except OSError:
        return False
    return True


def make(path: str) -> bool:
    """Make a group; one that is there is as good."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError:
        return False
    return True


def give(path: str, uid: int) -> bool:
    """Let a user make groups in this one and move processes between them, and change nothing else."""
    try:
        os.chown(path, uid, -1)
        os.chown(f"{path}/cgroup.procs", uid, -1)
        for name in ("cgroup.subtree_control", "cgroup.threads"):
            if os.path.exists(f"{path}/{name}"):
                os.chown(f"{path}/{name}", uid, -1)
    except OSError:
        return False
    return True


def drop(path: str) -> bool:
    """Remove a group; True when it is gone."""
    try:
        os.rmdir(path)
    except OSError:
        return not os.path.lexists(path)
    return True
