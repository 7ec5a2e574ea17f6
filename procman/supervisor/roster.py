"""The dynos that there are, and which of them a request means."""

from procman.control.protocol import Message
from procman.control.requests import EVERY, words
from procman.core.model import DynoName
from procman.errors import ProcmanError
from procman.supervisor.supervisor import Supervisor
from procman.typed import Callable, Sequence


class Roster:
    """``types``: the process types, in the Procfile's order."""

    def __init__(self, supervisor: Supervisor, types: Callable[[], Sequence[str]]) -> None:
        self._supervisor = supervisor
        self._types = types

    def present(self) -> list[DynoName]:
        """Every dyno there is, in the Procfile's order; those whose type has left it last."""
        order = {process_type: position for position, process_type in enumerate(self._types())}
        found = self._supervisor.engine.dynos
        return sorted(found, key=lambda name: (order.get(name.process_type, len(order)), name.number))

    def kept(self) -> list[DynoName]:
        """Those of the formation, without any that is being scaled away."""
        return [name for name in self.present() if self._supervisor.engine.has(name)]

    def named(
        self, request: Message, among: Sequence[DynoName], every: Sequence[DynoName] | None = None
    ) -> list[DynoName]:
        """The dynos that the words mean: types, dynos, or ``all``, which without words is meant. Raises ProcmanError.

        ``every``: whom ``all`` means, if not all of those that may be named.
        """
        every = among if every is None else every
        if not words(request):
            return list(every)
        found: list[DynoName] = []
        for word in words(request):
            meant = [name for name in among if word in (str(name), name.process_type)]
            if word == EVERY and EVERY not in self._types():
                meant = meant or list(every)
            elif not meant:
                raise self._nobody(word, among)
            found += [name for name in meant if name not in found]
        return found

    def _nobody(self, word: str, among: Sequence[DynoName]) -> ProcmanError:
        if self._supervisor.engine.closing:
            return ProcmanError("the formation was shut down meanwhile")
        if word in self._types():
            return ProcmanError(f"cannot find {word}: the formation has no dyno of it", f"procman start {word}")
        listed = ", ".join(map(str, among)) or "none"
        return ProcmanError(f"cannot find {word}: no such dyno or process type", f"there are {listed}")

    def single(self, request: Message) -> DynoName:
        """The one that they mean. Raises ProcmanError when that is none or many."""
        names = self.named(request, self.present())
        if len(names) != 1:
            raise ProcmanError(f"cannot {request['verb']}: that means {len(names)} dynos, and one is wanted")
        return names[0]
