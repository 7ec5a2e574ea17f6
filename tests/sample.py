"""The sample app, seen from its tests."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "sample_app"
WAIT_S = 60  # for a line or an end: a limit for a broken app, no good one comes near it

sys.path.insert(0, str(SAMPLE))  # its modules are top-level ones, as on Heroku


def entries(procfile: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+): (.+)$", procfile.read_text(), re.MULTILINE))


