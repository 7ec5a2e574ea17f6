"""The table of rooms, held against the imports: who may use whom, and what stays outside."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "procman"
LINES = 400  # a file over this is split

MAY_IMPORT = {
    "core": set(),
    "formats": {"core"},
    "logs": {"core", "formats"},
    "control": {"core", "formats"},
    "supervisor": {"core", "formats", "logs", "control"},
    "store": {"core"},
    "builds": {"core", "formats"},
    "runtimes": {"core", "control", "formats"},
    "platform": {"core", "formats", "store", "builds", "runtimes"},
    "api": {"core", "platform", "logs"},
    "rendezvous": {"core", "control"},
    "gitpush": {"core"},
    "router": {"core", "formats", "logs"},
    "export": {"core", "formats"},
    "server": {
        "core", "formats", "logs", "control", "supervisor", "store", "builds", "runtimes", "platform", "api",
        "rendezvous", "gitpush", "router",
    },
    "cli": {"core", "formats", "logs", "control", "supervisor", "server", "router", "export"},
}
EVERYBODY = {"errors", "lean", "typed", "unix_http"}
BESIDE = {  # files beside the rooms that are for some of them
    "files": {"logs", "supervisor", "builds", "platform", "gitpush", "router", "cli", "server"},
    "reach": {"logs", "builds", "platform"},
}
OUTSIDE = {  # what a room may import from other packages, where that is narrow
    "core": {"collections.abc", "enum", "typing", "zlib"},
}
NEVER = {
    "formats": {"os", "pathlib", "selectors", "socket", "subprocess", "asyncio"},
    "logs": {"asyncio", "socket", "subprocess"},
    "control": {"asyncio", "subprocess"},
    "supervisor": {"asyncio", "click", "subprocess", "threading", "multiprocessing"},
}
APART = {
    "supervisor/watcher.py",  # a program of its own, which the supervisor starts and never imports
    # The server's alone:
    *(f"logs/{name}.py" for name in ("news", "stream", "drains", "drain_http", "drain_tcp", "couriers", "shipper")),
}


def files(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Modules imported anywhere in a file, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module.split(".")[0] == "procman":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)  # one may be a module


def test_every_folder_is_a_room_of_the_table():
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] not in "_."} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room):
    beside = {name for name, rooms in BESIDE.items() if room in rooms}
    allowed = MAY_IMPORT[room] | EVERYBODY | beside | {room, "__version__"}
    wrong = [
        f"{path.name}: {module}"
        for path in files(room)
        for module in imports(path)
        if module.startswith("procman.") and module.split(".")[1] not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize("room", OUTSIDE)
def test_a_pure_room_uses_nothing_that_acts(room):
    wrong = [
        f"{path.name}: {module}"
        for path in files(room)
        for module in imports(path)
        if not module.startswith("procman") and module not in OUTSIDE[room]
    ]
    assert not wrong


@pytest.mark.parametrize("room", NEVER)
def test_a_room_keeps_out_what_it_must(room):
    wrong = [
        f"{path.name}: {module}"
        for path in files(room)
        for module in imports(path)
        if module.split(".")[0] in NEVER[room] and str(path.relative_to(PACKAGE)) not in APART
    ]
    assert not wrong


def test_only_the_watcher_which_nobody_imports_imports_what_it_needs():
    heavy = {"watchfiles", "pathspec", "procman.supervisor.ignored", "procman.supervisor.watcher"}
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for module in imports(path)
        if module in heavy or module.split(".")[0] in heavy
    }
    assert users == {"supervisor/watcher.py", "supervisor/ignored.py"}


def test_parsers_open_no_files():
    calls = [
        f"{path.name}:{node.lineno}"
        for path in [*files("formats"), *files("core")]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"
    ]
    assert not calls


def test_no_file_is_too_long():
    sizes = {path: len(path.read_text().splitlines()) for path in [*PACKAGE.rglob("*.py")]}
    assert not {str(path.relative_to(PACKAGE)): size for path, size in sizes.items() if size > LINES}
