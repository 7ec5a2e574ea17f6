"""A venv with procman, as a user would have it, and the peers that come from PyPI."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("procman", "pyproject.toml", "README.md", "LICENSE")
EXTRA_PEERS = ("supervisor",)  # honcho comes with procman


def install(folder: Path) -> Path:
    """Make the venv in ``folder``; returns its ``bin``. The repository is left as it is."""
    venv, copy = folder / "venv", folder / "source"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, copy)
    if not (copy / "README.md").exists():
        (copy / "README.md").write_text("procman\n")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, copy], check=True)
    for peer in EXTRA_PEERS:
        if subprocess.run([*pip, peer], check=False, stderr=subprocess.DEVNULL).returncode:
            print(f"MISSING PEER: {peer} could not be installed", file=sys.stderr)
    return venv / "bin"
