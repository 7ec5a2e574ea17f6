"""Where things lie in the data directory, and who may look at them."""

import os
from typing import NamedTuple

from procman.errors import ProcmanError

FOLDERS = ("tls", "repos", "slugs", "apps", "logs", "builds", "cache", "router", "sources", "output", "certificates")
PASSED_THROUGH = ("", "apps", "slugs", "builds", "cache", "router")  # by the users of apps, of builds, of HAProxy


class Layout(NamedTuple):
    """Paths under the data directory."""

    data: str

    def path(self, *parts: str) -> str:
        """A path below the data directory."""
        return os.path.join(self.data, *parts)

    @property
    def database(self) -> str:
        return self.path("procman.db")

    @property
    def lock(self) -> str:
        return self.path("server.lock")

    @property
    def socket(self) -> str:
        return self.path("server.sock")

    @property
    def owner_key(self) -> str:
        return self.path("owner.key")

    def slug(self, slug_id: str) -> str:
        """The unpacked slug."""
        return self.path("slugs", slug_id)

    def packed_slug(self, slug_id: str) -> str:
        """The slug as one file."""
        return self.path("slugs", f"{slug_id}.tgz")

    def certificate(self, endpoint_id: str) -> str:
        """A certificate's chain and key in one file."""
        return self.path("certificates", f"{endpoint_id}.pem")

    def source(self, source_id: str) -> str:
        """An uploaded source."""
        return self.path("sources", f"{source_id}.tgz")

    def home(self, app_id: str) -> str:
        """What belongs to the app's supervisor."""
        return self.path("apps", app_id)

    def repository(self, app_id: str) -> str:
        """The app's bare git repository."""
        return self.path("repos", f"{app_id}.git")

    def deploy_lock(self, app_id: str) -> str:
        """Locked (flock) while somebody deploys the app."""
        return self.path("repos", f"{app_id}.lock")

    def build_lock(self, app_id: str) -> str:
        """Locked (flock) while anything of a build of the app lives: the cache is one build's."""
        return self.path("cache", f"{app_id}.lock")

    def output(self, name: str) -> str:
        """The stored output of a build or a release phase."""
        return self.path("output", name)

    def make(self) -> None:
        """Make what is missing, closed to others; as root, open to pass through for the apps' own users."""
        root = os.geteuid() == 0
        try:
            for folder in ("", *FOLDERS):
                path = self.path(folder) if folder else self.data
                os.makedirs(path, mode=0o700, exist_ok=True)
                os.chmod(path, 0o711 if root and folder in PASSED_THROUGH else 0o700)
        except OSError as error:
            raise ProcmanError(
                f"cannot keep the server's data in {self.data}: {error.strerror}", "procman server --data DIR"
            ) from None
