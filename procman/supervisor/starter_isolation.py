"""What a host lets a dyno have of its own."""

from enum import Enum
from typing import NamedTuple


class Way(Enum):
    """How a dyno comes to its files: a layer over the slug, a copy of it, or the slug itself with all others."""

    OVERLAY = "overlay"
    COPY = "copy"
    SHARED = "shared"


class Isolation(NamedTuple):
    """The best way that works here. ``reason``: in words, why not a better one. Paths of the programs it takes;
    ``setpriv`` may be empty in the shared way.
    """

    way: Way
    reason: str = ""
    unshare: str = ""
    setpriv: str = ""
    sh: str = "/bin/sh"
    bash: str = "/bin/bash"

    def unshare_argv(self) -> tuple[str, ...]:
        """Makes the namespaces. ``--keep-caps``: what follows may mount in them, until ``setpriv`` ends that."""
        return (self.unshare, "--user", "--map-current-user", "--mount", "--ipc", "--keep-caps")

    def words(self) -> str:
        """One line for the log; nothing when all is as on Heroku."""
        if self.way == Way.SHARED:
            return f"Dynos share one copy of the slug, and write to it: {self.reason}"
        return f"Every dyno gets a full copy of the slug: {self.reason}" if self.way == Way.COPY else ""
