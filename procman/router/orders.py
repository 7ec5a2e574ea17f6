"""What HAProxy is told: the arrangement, the maps and the certificates, as values and as files that it reads."""

import hashlib
import logging
from collections.abc import Awaitable, Callable

from procman.router import pages, runtime_commands, waiting
from procman.router.arrangement import Arrangement, decode, encode
from procman.router.binary import Binary
from procman.router.configuration import CERTIFICATES, LUA, Secrets, build
from procman.router.files import SLOTS, Files
from procman.router.process import CONFIGURATION
from procman.router.runtime_commands import Maps
from procman.router.settings import Settings

Check = Callable[[str], Awaitable[None]]
CANDIDATE, OWED = "candidate.cfg", "owed"
log = logging.getLogger(__name__)


class Orders:
    """As values here, and as files that the next HAProxy and the next server go on from."""

    def __init__(self, settings: Settings, binary: Binary, files: Files) -> None:
        self.arrangement = Arrangement(settings.slots, settings.sticky_slots)
        self.maps = Maps()
        self.certificates = b""
        self._settings = settings
        self._binary = binary
        self._files = files

    def remember(self) -> None:
        """What the server before us told HAProxy last."""
        data = self._files.read(SLOTS)
        if data is None:
            return
        try:
            known = decode(data)
        except ValueError as error:
            log.warning("slots forgotten: %s", error)
            return
        plain, sticky = max(known.plain, self._settings.slots), max(known.sticky, self._settings.sticky_slots)
        self.arrangement = known._replace(plain=plain, sticky=sticky)
        contents = [runtime_commands.read_file(self._files.read(name) or b"") for name in Maps().files()]
        self.maps = Maps(*contents)
        if self._settings.https:
            self.certificates = self._files.read(CERTIFICATES) or b""

    async def change(
        self, arrangement: Arrangement, maps: Maps, certificates: bytes, running: str, check: Check
    ) -> str:
        """Other orders from now on, as values and as files, or neither: see ``write``. HAProxy is owed them then."""
        known, owed = (self.arrangement, self.maps, self.certificates), self.owed
        self.arrangement, self.maps, self.certificates = arrangement, maps, certificates
        try:
            if known != (arrangement, maps, certificates):
                self._files.write(OWED, b"")
            return await self.write(running, check)
        except BaseException:  # HAProxy was told nothing of it: the disk is full, perhaps, or the server is going
            self.arrangement, self.maps, self.certificates = known
            if not owed:
                self.told()
            raise

    @property
    def owed(self) -> bool:
        """Whether HAProxy may run something else than the files say: who wrote them was killed before it was told."""
        return self._files.read(OWED) is not None

    def told(self) -> None:
        """It runs what the files say."""
        self._files.remove(OWED)

    async def write(self, running: str, check: Check) -> str:
        """All files, as they shall be, or as they were if that fails; the description of what they make of HAProxy.

        ``running``: that of what it runs; ``check`` has it look at a configuration of another one, by its name, and
        raises ProcmanError.
        """
        files, shape = self._files, self._describe()
        text = build(self._settings, self.arrangement, Secrets(files.cookie_key()), shape).encode()
        unchecked = shape != running and files.read(CONFIGURATION) != text  # what stands there was checked
        if unchecked:
            files.write(CANDIDATE, text)
        with files.all_or_none():
            for name, entries in self.maps.files().items():
                files.write(name, runtime_commands.file_text(entries).encode())
            for name in pages.TEXTS:
                files.write(name, pages.template(name).encode())
            files.write(LUA, waiting.script(self._settings.timeouts.boot).encode())
            if self._settings.https:
                files.write(CERTIFICATES, self.certificates)
            if unchecked:
                await check(CANDIDATE)
            files.write(CONFIGURATION, text)
            files.write(SLOTS, encode(self.arrangement))
        if self._settings.https:
            files.drop_certificates(self.certificates)
        return shape

    def _describe(self) -> str:
        """A digest of everything that a running HAProxy cannot be told."""
        empty = self.arrangement._replace(slots={}, routes={})
        parts = [
            self._binary.path,
            self._binary.version,
            build(self._settings, empty, Secrets(self._files.cookie_key()), ""),
            waiting.script(self._settings.timeouts.boot),
            *(pages.template(name) for name in pages.TEXTS),
            self.certificates.decode(),
        ]
        if self._settings.certificate and self._settings.https:
            parts.append(self._files.take_default(self._settings.certificate).hex())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
