"""procman in a venv, as a user would have it, and the peers that PyPI, npm and Debian offer.

All but Debian's go into `.bench/`. What cannot be installed is said, and missing in the report; it stops nothing.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import Places
from benchmarks.rows import warn

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".bench"
NOT_COPIED = (".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "benchmarks")
PYPI = ("honcho==2.0.0", "supervisor==4.3.0", "circus==0.19.0")
DEBIAN = {"foreman": "ruby-foreman", "s6-svscan": "s6", "runsvdir": "runit"}


def install(folder: Path = FOLDER) -> Places:
    """Everything; the repository is left as it is. Raises CalledProcessError if procman itself cannot be installed."""
    folder.mkdir(exist_ok=True)
    procman(folder)
    pypi(folder)
    npm(folder)
    debian()
    return found(folder / "procman" / "bin", folder)


def found(procman_bin: Path, folder: Path = FOLDER) -> Places:
    """Where everything is; without an installation of its own, peers from PyPI are beside procman."""
    peers = folder / "peers" / "bin"
    return Places(procman_bin, peers if peers.exists() else procman_bin, folder / "node_modules")


def procman(folder: Path) -> None:
    """A wheel of the working tree, never an editable install: its import finder costs 20 ms at every start."""
    copy = folder / "source"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    subprocess.run([*pip(folder / "procman"), "--force-reinstall", copy], check=True)
    shutil.rmtree(copy)


def pypi(folder: Path) -> None:
    """One by one: one that fails must not keep out the others."""
    for package in PYPI:
        attempt(package, [*pip(folder / "peers"), package])


def npm(folder: Path) -> None:
    """All at once, pinned."""
    shutil.copy(ROOT / "benchmarks" / "npm" / "package.json", folder)
    attempt("npm's", ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)])


def debian() -> None:
    """What is missing, where that is allowed."""
    missing = [package for program, package in DEBIAN.items() if not shutil.which(program)]
    if missing and os.geteuid() == 0:
        attempt("Debian's index", ["apt-get", "update", "-qq"])
        for package in missing:
            attempt(package, ["apt-get", "install", "--yes", "-qq", package])


def pip(venv: Path) -> list[str]:
    """The command that installs into a venv, which is made if it is not there."""
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    return [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def attempt(what: str, command: list[str]) -> None:
    """Run it; if it fails, say so."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        warn(f"MISSING PEER: {what}: {error}")
        return
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        warn(f"MISSING PEER: {what} could not be installed: {' '.join(last)}")
