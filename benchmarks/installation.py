"""A venv with procman, as a user would have it, and the peers that come from PyPI."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = (".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "benchmarks")
EXTRA_PEERS = ("supervisor",)  # honcho comes with procman


def install(folder: Path) -> Path:
    """Make the venv in ``folder``; returns its ``bin``. The repository is left as it is."""
    venv, copy = folder / "venv", folder / "source"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, copy], check=True)
    for peer in EXTRA_PEERS:
        if subprocess.run([*pip, peer], check=False, stderr=subprocess.DEVNULL).returncode:
            print(f"MISSING PEER: {peer} could not be installed", file=sys.stderr)
    return venv / "bin"
