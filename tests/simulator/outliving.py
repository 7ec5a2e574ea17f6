"""A detached formation: its dynos outlive a killed supervisor, and the next one goes on with them."""

from types import SimpleNamespace
from typing import TYPE_CHECKING

from procman.core.events import FormationChanged
from procman.supervisor import ledger
from procman.supervisor.adoption import Succession, find, holder_of, make_pipes
from procman.supervisor.ends import EXIT
from procman.supervisor.ledger import Ledger
from procman.supervisor.sweep import token_of
from tests.simulator.kernel import Broken, Proc

if TYPE_CHECKING:
    from tests.simulator.programs import Life
    from tests.simulator.world import World

HOME = SimpleNamespace(ledger="/home/ledger.json", pipes="/home/pipes", place=lambda: "here")


class Outliving:
    """What the world has of ``cli.outliving``, and what is true of the dynos meanwhile.

    ``kept``: lives that stand in the books, and have to be gone on with. ``adopted``: names of their dynos.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.kept: set[tuple[str, int]] = set()
        self.adopted: set[str] = set()
        self.found = Ledger()
        self._older: dict[int, dict[str, int]] = {}

    def clear_up(self, last: dict[str, str]) -> str:
        """Find what the last supervisor left, and end all else; says how much that was."""
        world = self.world
        written = ledger.load(HOME.ledger, "here").dynos if last else ()
        self.kept = {(entry.dyno.full(), entry.run) for entry in written}
        world.book.forget_others(())
        self.found, words = find(HOME, last, lambda entry: True)
        for entry in self.found.dynos:
            if entry.more["port"]:
                world.book.keep(entry.dyno, entry.more["port"])
        self.adopted = {entry.dyno.full() for entry in self.found.dynos}
        self._older = world.happenings.begin_again(self.found.dynos)
        return words

    def pipes(self) -> str:
        """The directory of the log pipes."""
        lives = [life for life in self.world.programs.lives if life.alive]
        used = [pipe.path for life in lives for pipe in life.pipes if pipe.path]
        return make_pipes(HOME, [*self.found.pipes(), *used])

    def join(self) -> None:
        """Be ready to take over, and to keep the books of a supervisor."""
        world = self.world
        world.me = {**world.me, **holder_of(self.found, world.processes)}
        self._succession = Succession(HOME, token_of(world.me), world.supervisor, world.processes, self._more)

    def _more(self, child: object) -> dict[str, int]:
        return {"port": int(self.world.command(child.dyno).env["PORT"])}

    def adopt(self) -> None:
        """Go on with what was found, and with the formations of older generations."""
        world = self.world
        self._succession.adopt(self.found, lambda dyno: int(world.command(dyno).env["PORT"]) or None)
        world.kernel.faults["dyno adopted"] += len(self.found.dynos)
        self.found = Ledger()
        self._succession.restore(self._older, world.happenings.newest)

    def begin(self, resumed: bool) -> None:
        """Keep books; and as ``Rollouts.resume``: the newest generation is in use, what may live of others ends."""
        world = self.world
        self._succession.keep_books(world.scribe.do if world.settings.disk else lambda task: task())
        if not resumed and self.adopted and not self._older:
            newest = world.happenings.newest
            world.supervisor.post(FormationChanged(world.engine.formation, newest, succeeds=True))

    def close(self) -> None:
        """A clean end: nothing is left of what was for the next one."""
        self._succession.close()
        left = [path for path in self.world.files.disk.nodes if path.startswith("/home/")]
        if left and not (self.world.settings.disk and self.world.scribe.waiting):
            raise Broken(f"files are left: {left}")

    def is_kept(self, life: "Life") -> bool:
        """Whether it has to be gone on with."""
        return (life.dyno, life.run) in self.kept

    def note_end(self, proc: Proc) -> None:
        """The holder sees a dyno's end while there is no supervisor, and writes it down."""
        life: Life = proc.life
        holders = [each for each in self.world.kernel.procs.values() if each.hears and each.end is None]
        told = b"".join(chunk for holder in holders for chunk in holder.hears.received)
        if life.pipes[0].path and b"+%d " % proc.pid in told:
            node = self.world.files.disk.make(life.pipes[0].path + EXIT)
            node.data += b"%d" % wait_status(proc)


def wait_status(proc: Proc) -> int:
    """How it ended, as wait(2) has it."""
    end = proc.end or 0
    return end << 8 if end >= 0 else -end


