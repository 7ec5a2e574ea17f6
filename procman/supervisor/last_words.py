"""What dynos on trial wrote last, for whoever wants to know why one did not come up."""

from procman.core.model import DynoName
from procman.supervisor.child import Child
from procman.supervisor.supervisor import Supervisor

LINES = 50
BYTES = 16 << 10  # kept of each


class LastWords:
    """Listens to dynos of one generation."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._texts: dict[DynoName, bytes] = {}
        self._generation: int | None = None
        supervisor.on_birth.append(self._listen)

    def begin(self, generation: int | None) -> None:
        """Forget all, and listen to the dynos of a generation that are still to start, and those that have."""
        self._texts = {}
        self._generation = generation
        for child in self._supervisor.children():
            self._listen(child)

    def of(self, dyno: DynoName | None) -> list[str]:
        """Its last lines."""
        text = self._texts.get(dyno, b"") if dyno else b""
        return [line.decode("utf-8", "replace") for line in text.splitlines()[-LINES:]]

    def _listen(self, child: Child) -> None:
        if child.dyno.generation == self._generation and child.dyno not in self._texts and self._generation is not None:
            self._texts[child.dyno] = b""
            self._supervisor.tap(child, lambda data: self._hear(child.dyno, data), lambda: None)

    def _hear(self, dyno: DynoName, data: bytes) -> None:
        if dyno in self._texts:
            self._texts[dyno] = (self._texts[dyno] + data)[-BYTES:]
