"""``python -m procman.builds REQUEST.json``: one build; its output on stdout, exit status 0 if there is a slug."""

import os
import sys

from procman.builds.keeper import Keeper
from procman.builds.request import read_request


def main(argv: list[str]) -> int:
    """Run the build that a file asks for."""
    if len(argv) != 2:
        print("usage: python -m procman.builds REQUEST.json", file=sys.stderr)
        return 2
    try:
        request = read_request(argv[1])
    except (OSError, ValueError) as error:
        print(f"error: cannot build: {error}", file=sys.stderr)
        return 2
    if os.getsid(0) != os.getpid() and os.getpgid(0) != os.getpid():
        os.setsid()
    return 0 if Keeper(request).run() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
