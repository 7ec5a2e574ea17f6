"""That what dynos write comes to the reader and into the store: once, and in order."""

import re
from typing import TYPE_CHECKING

from tests.simulator.kernel import Broken, check

if TYPE_CHECKING:
    from tests.simulator.world import World

LOST = re.compile(rb"heroku\[procman\]: (\d+) lines? \((\d+) bytes\) of log were lost: ")
STAMP = len("2026-01-01T00:00:00.000000+00:00 ")


class Delivery:
    """Compares what the programs of one world have written with what came of it."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self._first_life = 0  # of the present supervisor
        self._heard: dict[tuple[str, str], bytes] = {}  # by dyno and stream, from programs that were replaced

    def forget(self) -> None:
        """The supervisor was killed: the next one has a log of its own."""
        self._first_life = len(self.world.programs.lives)
        self._heard.clear()
        if self.world.settings.disk:  # what it had not written is lost, and nobody can tell of it
            nodes = self.world.files.disk.nodes
            for path in [path for path in nodes if path.startswith("/log/")]:
                del nodes[path]
            self.world.stored.clear()
            self.world.ledger.given.clear()

    def before_replacement(self) -> None:
        """Of the program. What it has shown is kept for the comparison in the end."""
        for source, chunks in self.world.recorder.by_source.items():
            key = str(source.dyno and source.dyno.full()), source.stream
            self._heard[key] = self._heard.get(key, b"") + b"".join(chunks)

    def every_byte_is_delivered(self, whole: bool) -> None:
        """Once, and in order. ``whole``: else the end may be missing."""
        written: dict[tuple[str, str], bytearray] = {}
        for life in self.world.programs.lives[self._first_life :]:
            for pipe, stream in zip(life.pipes, ("stdout", "stderr"), strict=False):
                written.setdefault((life.dyno, stream), bytearray()).extend(b"".join(pipe.accepted))
        heard = dict(self._heard)
        for source, chunks in self.world.recorder.by_source.items():
            key = str(source.dyno and source.dyno.full()), source.stream
            heard[key] = heard.get(key, b"") + b"".join(chunks)
        for key, data in written.items():
            if key[0] in self.world.outliving.adopted:
                continue  # part of it is in another supervisor's log
            found, sent = heard.get(key, b"").replace(b"\n", b""), bytes(data).replace(b"\n", b"")
            holds = found == sent if whole else sent.startswith(found)
            if not holds:
                raise Broken(f"{key} wrote {len(sent)} bytes, and {len(found)} came: {differ(sent, found)}")
        self._reader_got_it(whole)

    def _reader_got_it(self, whole: bool) -> None:
        """What the reader of our own output has is what was said, in order."""
        out = self.world.files.out
        got = b"".join(out.received)
        check(got == b"".join(out.accepted)[: len(got)], "the kernel has mixed up our output")
        said = b"".join(self.world.recorder.all)
        if not self._heard:
            check(said.startswith(got), "the output is not what was said")
        if whole and self.world.is_heard_out:
            check(said.endswith(got[-len(said) :]) if said else True, "not all that was said was written")

    def the_store_is_whole(self, ended: bool) -> None:
        """Every line stands in the store once and in order, or is counted in a line that tells of a gap.

        Unless ``ended``, lines at the end may be missing: the disk has stalled, and nobody waits for it for ever.
        """
        world = self.world
        nodes = world.files.disk.nodes
        texts = [bytes(nodes[path].data) for path in sorted(nodes) if path.startswith("/log/")]
        kept = b"".join(texts).split(b"\n")
        check(kept.pop() == b"", "the log does not end with a whole line")
        given, at, missing, told = world.stored + world.ledger.given, 0, 0, 0
        for row in kept:
            line = row[STAMP:]
            if lost := LOST.match(line):
                told += int(lost[1])
                continue
            start = at
            while at < len(given) and given[at] != line:
                at += 1
            check(at < len(given), f"the store has a line twice, or out of order: {line[:60]!r}")
            missing += at - start
            at += 1
        missing += len(given) - at
        told += world.store.lost_lines
        holds = missing == told or (missing > told and not ended)
        check(holds, f"{missing} lines are missing in the store, and it tells of {told}")


def differ(sent: bytes, found: bytes) -> str:
    """Where two texts part."""
    at = next((at for at, (one, other) in enumerate(zip(sent, found, strict=False)) if one != other), None)
    at = min(len(sent), len(found)) if at is None else at
    return f"from byte {at} on {sent[at : at + 20]!r} was written, and {found[at : at + 20]!r} came"
