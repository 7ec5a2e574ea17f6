"""How a served dyno is started: the chain of programs that ends in its shell, in the same process all the way.

``posix_spawn`` starts ``unshare`` (a user, mount and IPC namespace), that becomes ``sh`` (control groups, mounts,
limits), that becomes ``setpriv`` (nothing may be gained, nothing is kept), that becomes ``bash``. Nobody waits in
between, so the pid that was spawned is the dyno's root. Config vars go through it all in the environment, never in an
argument.
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from procman.core.plan import Limits
from procman.supervisor.starter_isolation import Isolation, Way

PATH = "/usr/local/bin:/usr/bin:/bin"  # Heroku: what a dyno has before .profile.d
LANG = "C.UTF-8"  # Heroku: set by the stack image
HELD = "PROCMAN_HELD_"
CGROUPS = "/sys/fs/cgroup"  # hidden: a dyno owns its groups, and could raise their limits

# What a login shell does on Heroku (profiled, dyno-startup-behavior), on one line so that line numbers are the
# command's own. The trap makes bash wait for its children and then end with the status of the one in the foreground:
# without it the SIGTERM that every process of a dyno gets would end bash, and so the dyno, before they could finish.
LOGIN = (
    "trap 's=$?; [ -z \"$(jobs -p)\" ] || { wait; s=143; }; exit $s' TERM HUP; "
    'for f in ~/.profile.d/*.sh; do [ -f "$f" ] && . "$f"; done; unset f; [ -f ~/.profile ] && . ~/.profile; '
)
# Variables that would steer the loader of our helpers, before there is an /app they could point into.
UNHOLD = f'for f in ${{!{HELD}@}}; do export "${{f#{HELD}}}=${{!f}}"; unset "$f"; done; '

# A process enters a control group some 10 ms after it asked: the kernel waits for a grace period of its own (RCU).
# What has to be mounted is mounted meanwhile, and hides the groups; so their files are opened before.
ENTER = """\
folder=$1 target=$2 processes=$3 setpriv=$4 bash=$5 text=$6
shift 6
fd=3 fds=
for group do [ ! -w "$group" ] || { eval "exec $fd>"'"$group"'; fds="$fds $fd" fd=$((fd + 1)); }; done
if [ "$fds" ]; then { for fd in $fds; do echo $$ >&$fd; done; } 2>/dev/null & fi
fail() { echo "procman: cannot $1" >&2; exit 126; }
"""
IN_FOLDER = 'cd "$folder" || fail "enter the folder of the dyno"\n'
# Relative names: no path of a user's has to be quoted for the kernel's parser of options. Nothing here may be called
# ``root``: mount(8) would skip it.
OVERLAY = "mount -c -t overlay -o lowerdir=slug,upperdir=upper,workdir=work,userxattr overlay own"
COPY = 'cp -a --reflink=auto slug/. own || fail "copy the slug"\n'
TABLE = 'mount -a -c -T fstab || fail "mount what is the dyno\'s own"\n'
BEGIN = """\
wait
for fd in $fds; do eval "exec $fd>&-"; done
umask 022
ulimit -c 0
[ "$processes" = 0 ] || ulimit -u "$processes" 2>/dev/null || ulimit -p "$processes" 2>/dev/null
cd "$target" || fail "enter $target"
"""
BECOME = 'exec "$setpriv" --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$bash" -c "$text"\n'
BECOME_SHARED = '[ -z "$setpriv" ] || exec "$setpriv" --no-new-privs "$bash" -c "$text"\nexec "$bash" -c "$text"\n'


class Place(NamedTuple):
    """Where one life of a dyno runs.

    ``folder``: its private one, already there (``slug_copy.make_folder``). ``directory``: the unpacked slug.
    ``target``: where the slug appears to the dyno. ``hide``: directories of ours that it shall not see.
    """

    folder: str
    directory: str
    target: str
    hide: tuple[str, ...] = ()


class Launch(NamedTuple):
    """What ``posix_spawn`` is given. ``argv[0]`` is the program's path."""

    argv: tuple[str, ...]
    env: dict[str, str]


def target_of(isolation: Isolation, directory: str, mount: str | None) -> str:
    """Where a slug appears: at ``mount`` if that can be, else at its own path."""
    if isolation.way == Way.SHARED or mount is None or not os.path.isdir(mount):
        return directory
    return mount


def dyno_env(config: Mapping[str, str], dyno: str, port: int, target: str) -> dict[str, str]:
    """The environment a dyno begins with. Config vars win, but for ``HOME``, ``DYNO`` and ``PORT``."""
    return {"PATH": PATH, "LANG": LANG, **config, "HOME": target, "DYNO": dyno, "PORT": str(port)}


def launch(
    isolation: Isolation,
    place: Place,
    command: str,
    env: Mapping[str, str],
    limits: Limits | None = None,
    groups: Sequence[str] = (),
    strict: bool = False,
) -> Launch:
    """The chain for one life of a dyno; writes what it needs into ``place.folder``. Raises OSError if it cannot.

    ``limits``: of memory, the dyno is shown its quota; of processes, the kernel counts them by user namespace, so there
    is no such limit when that is shared.
    ``groups``: the ``cgroup.procs`` files that it enters first. ``strict``: never copy where an overlay is refused.
    """
    isolation = isolation._replace(way=way_for(isolation, place.directory))
    settle(isolation, place, limits)
    processes = limits.processes if limits and isolation.way != Way.SHARED else 0
    held = {f"{HELD}{name}" if name.startswith("LD_") else name: value for name, value in env.items()}
    if isolation.way == Way.SHARED:
        held.setdefault("TMPDIR", f"{place.folder}/tmp")  # noqa: S108 - ours, not the host's
    text = (UNHOLD if any(name.startswith(HELD) for name in held) else "") + LOGIN + command
    argv = (
        *(isolation.unshare_argv() if isolation.way != Way.SHARED else ()),
        *(isolation.sh, "-c", script(isolation.way, strict), "procman"),
        *(place.folder, place.target, str(processes), isolation.setpriv, isolation.bash, text),
        *groups,
    )
    return Launch(argv, held)


def way_for(isolation: Isolation, directory: str) -> Way:
    """The way for this slug. A layer keeps owners, and another user's files could not be written; a copy's can."""
    if isolation.way == Way.OVERLAY and os.stat(directory).st_uid != os.geteuid():
        return Way.COPY
    return isolation.way


def script(way: Way, strict: bool = False) -> str:
    """What ``sh`` is to do before it becomes the dyno's shell."""
    if way == Way.SHARED:
        return ENTER + BEGIN + BECOME_SHARED
    if way == Way.COPY:
        made = COPY
    elif strict:
        made = f"{OVERLAY} || exit 126\n"
    else:  # a slug on another file system than the one that was tried may be refused all the same
        made = f"{OVERLAY} 2>/dev/null || {COPY}"
    return ENTER + IN_FOLDER + made + TABLE + BEGIN + BECOME


def settle(isolation: Isolation, place: Place, limits: Limits | None) -> None:
    """Furnish the private folder: the directories, and the table that ``mount -a`` reads."""
    folder = place.folder
    for name in ("tmp", "var"):
        os.mkdir(f"{folder}/{name}")
        os.chmod(f"{folder}/{name}", 0o1777)  # noqa: S103 - as a /tmp has to be
    if isolation.way == Way.SHARED:
        return
    for name in ("own", "upper", "work", "empty", "cgroup"):
        os.mkdir(f"{folder}/{name}")
    os.symlink(place.directory, f"{folder}/slug")
    if limits:  # where Heroku's buildpacks look for it, to set WEB_CONCURRENCY; see dyno-memory-behavior
        os.mkdir(f"{folder}/cgroup/memory")
        with open(f"{folder}/cgroup/memory/memory.limit_in_bytes", "w", encoding="utf-8") as file:
            file.write(f"{limits.memory}\n")
    covers = covers_of(place)
    for path, private in covers.items():
        if is_under(place.target, path):
            os.makedirs(f"{folder}/{private}/{os.path.relpath(place.target, path)}", exist_ok=True)
    with open(f"{folder}/fstab", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(mounts(place.target, covers))


def covers_of(place: Place) -> dict[str, str]:
    """Directories that others must not be seen in, and what is bound over each. Those below another are gone anyway."""
    wished = {**dict.fromkeys(place.hide, "empty"), "/tmp": "tmp", "/var/tmp": "var", CGROUPS: "cgroup"}  # noqa: S108
    real = {os.path.realpath(path): private for path, private in wished.items() if os.path.isdir(path)}
    return {
        path: private
        for path, private in real.items()
        if not any(path != other and is_under(path, other) for other in real)
    }


def mounts(target: str, covers: Mapping[str, str]) -> str:
    """What is mounted once the dyno's copy of the slug is at ``own``; that comes to its place when all is covered.

    All sources are relative to the private folder, and not looked up by their full path, which a cover may hide.
    """
    shm = "/dev/shm"  # noqa: S108
    lines = [row("procman", shm, "tmpfs", "mode=1777,nosuid,nodev")] if os.path.isdir(shm) else []
    lines += [row(private, path, "none", "bind") for path, private in covers.items()]
    lines.append(row("own", target, "none", "bind"))
    return "".join(lines)


def row(source: str, target: str, kind: str, options: str) -> str:
    """A line of fstab(5)."""
    for character in "\\ \t\n#":
        target = target.replace(character, f"\\{ord(character):03o}")
    return f"{source} {target} {kind} {options} 0 0\n"


def is_under(path: str, directory: str) -> bool:
    """Whether ``path`` is the directory or lies in it."""
    return path == directory or path.startswith(f"{directory}/")
