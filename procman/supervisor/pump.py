"""The log pump: dyno output in chunks, through the splitter, to the output, as fast as its reader takes it."""

import os

from procman.core.model import DynoName
from procman.logs.formats import Source
from procman.logs.output import Output
from procman.logs.sink import HIGH_WATER, Sink
from procman.logs.splitter import LINE_LIMIT, LineSplitter
from procman.supervisor.loop import FOREVER, Loop
from procman.supervisor.poller import Poller
from procman.typed import TYPE_CHECKING, Any, Callable, Sequence

if TYPE_CHECKING:  # what it imports, few formations need
    from procman.supervisor.owed import Owed, Witness

CHUNK = 256 << 10  # bytes of one read: a whole pipe
BATCH = 64 << 10  # bytes that are written before more is read
TURN = 16 << 20  # bytes, some 20 ms of a flood, after which the loop looks at its deadlines too
PARTIAL_S = 0.1  # an unfinished line, such as a prompt, is shown after this pause
STALLED_S = 2.0  # the same for a line cut off in the middle of a flood: its writer only waits for a CPU
FLOOD = 4096  # bytes of a chunk that is no prompt
LOW_WATER = 256 << 10  # bytes waiting at which reading goes on
STOPPING_LIMIT = 64 << 20  # while stopping, a paused reader shall not keep dynos from their last words
SCREENFUL = 4096  # bytes
LAST_WORDS = 1 << 20  # bytes read at a dyno's end: the most a pipe can hold
STALL_S = 2.0  # at the end, a reader that takes nothing for so long is not waited for


class Stream:
    """One descriptor of one life of a dyno."""

    __slots__ = ("due", "fd", "held", "logged", "owed", "recent", "source", "splitter")

    def __init__(self, fd: int, source: Source, terminal: bool, logged: bool) -> None:
        self.fd = fd
        self.logged = logged  # else it is only for those who tap it
        self.held = False
        self.owed: "Owed | None" = None  # what is read is taken only when it is written
        self.due = 0  # bytes that were read and not taken yet
        self.source = source
        self.splitter = LineSplitter()
        self.recent = b"" if terminal else None  # the last screenful of a terminal, for who joins it later


class Pump:
    """Reads every dyno's output. A full sink stops the reading, not the dynos: they wait in their own write.

    ``on_reader_gone`` is called once, when nobody will ever read the output again. ``log``: what can tell whether
    something was written; with it pipes can be read carefully (``be_careful``).
    """

    def __init__(
        self,
        loop: Loop,
        output: Output,
        on_reader_gone: Callable[[], None],
        log: "Witness | None" = None,
    ) -> None:
        self._log = log
        self._owing: list[Stream] = []
        self._leaving: list[tuple[list[Stream], Callable[[], None]]] = []  # read to their end, and not written yet
        self._loop = loop
        self._output = output
        self._on_reader_gone = on_reader_gone
        # All streams sit in a poller of their own, itself watched by the loop: one call pauses them all.
        self._inputs = Poller()
        self._streams: set[Stream] = set()
        self._unfinished: dict[Stream, float] = {}  # streams holding part of a line, and when to show it
        self._taps: dict[Stream, list[tuple[Callable[[bytes], None], Callable[[], None]]]] = {}
        self._paused = False
        self._flooded = False  # the last turn read a lot
        self._blocked: set[Sink] = set()  # wait to become writable
        self._gone_told = False
        self.limit = HIGH_WATER
        loop.watch(self._inputs.fileno(), self._read_ready)
        loop.on_deadline(self._partial_due, self._show_partials)
        for sink in output.sinks:
            if sink.hangup_fd is not None:
                loop.watch(sink.hangup_fd, lambda sink=sink: self._hang_up(sink))  # type: ignore[misc]

    def add(
        self, dyno: DynoName, outputs: list[tuple[int, str]], terminal: bool = False, logged: bool = True
    ) -> list[Stream]:
        """Read these descriptors until their end. Whoever asks about them later does so by stream.

        Never by descriptor: a number is closed at its end and may at once be another dyno's.
        """
        streams = [Stream(fd, Source(dyno, "app", name), terminal, logged) for fd, name in outputs]
        for stream in streams:
            self._inputs.register(stream.fd, stream)
        self._streams.update(streams)
        return streams

    def drain(self, streams: list[Stream], then: Callable[[], None] | None = None) -> None:
        """A dyno's last words: all that its pipes hold now, an unfinished line too.

        With ``then`` the descriptors are given up, also if somebody who was not found holds their other end. It is
        called when all is written: at once, or when the disk does so again. Until then nothing leaves its pipe.
        """
        for stream in streams:
            self._read_all(stream)
        if then:
            self._leaving.append((streams, then))
            self._settle()

    def _read_all(self, stream: Stream) -> None:
        """Until nothing is there, also of what its writer had no room for before."""
        taken = 0
        while stream in self._streams and taken < LAST_WORDS and (count := self._read(stream)):
            taken += count
            if stream.owed:
                self._settle()
        if stream in self._streams:
            self._finish_line(stream)

    def be_careful(self, streams: list[Stream], pipes: Sequence[str], fresh: bool) -> None:
        """From now on, what is read of these pipes, by their paths, is taken only when it is written.

        Unless ``fresh``, it is gone on where somebody else was when he was killed.
        """
        if self._log is None:
            return
        for stream, path in zip(streams, pipes, strict=False):
            try:
                stream.owed = self._log.owed(path)
            except OSError:
                continue  # no room for a note: then it is read like any other
            if not fresh:
                stream.splitter.feed(self._log.settle(stream.owed, stream.fd, stream.source))
            stream.owed.end(rest_of(stream))

    def owes(self) -> bool:
        """Whether something that was read is still in its pipe."""
        return bool(self._owing or self._leaving)

    def _settle(self) -> None:
        """Have everything written, and take it. While a disk stalls, nothing more is read, but of a dyno that ends."""
        self._output.flush()
        if not self.owes():
            return
        if self._log and self._log.waits():
            for stream in self._owing:
                self.hold(stream, held=True)  # until the disk has written; that makes the loop turn again
            return
        for stream in self._owing:
            self.hold(stream, held=False)
            if stream in self._streams:
                self._take(stream)
        self._owing.clear()
        self._let_leave()

    def _take(self, stream: Stream) -> None:
        """All that was read of it is written."""
        if not (self._log and stream.owed):
            return
        if not stream.due:
            stream.owed.end(rest_of(stream))
            return
        stream.owed.written(rest_of(stream))
        self._log.take(stream.fd, stream.due)
        stream.owed.taken()
        stream.due = 0

    def _let_leave(self) -> None:
        leaving, self._leaving = self._leaving, []
        for streams, _ in leaving:
            for stream in streams:
                self._read_all(stream)  # of a process that was not found, and wrote while the disk did
                if stream in self._streams:
                    self._drop(stream)
        if leaving:
            self._output.flush()
        for _, then in leaving:
            then()

    def tap(
        self, stream: Stream, write: Callable[[bytes], None], close: Callable[[], None], recent: bool = True
    ) -> Callable[[], None]:
        """Copy what came last from a stream, and what comes, raw, until its end; the answer stops that."""
        write((stream.recent or b"") if recent else b"")
        entry = (write, close)
        self._taps.setdefault(stream, []).append(entry)

        def stop() -> None:
            if entry in self._taps.get(stream, ()):
                self._taps[stream].remove(entry)

        return stop

    def pack(self, stream: Stream) -> dict[str, Any] | None:
        """What another pump has to know to go on with a stream; None when it is at its end."""
        if stream not in self._streams:
            return None
        return {
            "fd": stream.fd,
            "name": stream.source.stream,
            "rest": rest_of(stream).hex(),
            "begun": self._output.begun(stream.source).hex(),
            "recent": None if stream.recent is None else stream.recent.hex(),
        }

    def unpack(self, dyno: DynoName, rows: list[dict[str, Any]], logged: bool) -> list[Stream]:
        """Go on with these."""
        terminal = any(row["recent"] is not None for row in rows)
        streams = self.add(dyno, [(row["fd"], row["name"]) for row in rows], terminal, logged)
        for stream, row in zip(streams, rows, strict=True):
            stream.splitter.feed(bytes.fromhex(row["rest"]))
            self._output.resume(stream.source, bytes.fromhex(row["begun"]))
            if stream.recent is not None:
                stream.recent = bytes.fromhex(row["recent"])
            if stream.splitter.size:
                self._unfinished[stream] = self._loop.now() + PARTIAL_S
        return streams

    def hold(self, stream: Stream, held: bool) -> None:
        """Stop reading one stream, or go on."""
        if stream not in self._streams or stream.held == held:
            return
        stream.held = held
        if held:
            self._inputs.unregister(stream.fd)
        else:
            self._inputs.register(stream.fd, stream)

    def flush(self) -> None:
        """Write what the reader takes, and pause or resume the reading accordingly."""
        self._settle()
        if not self._gone_told and any(sink.broken for sink in self._output.sinks):
            self._gone_told = True
            self._on_reader_gone()
            self._settle()  # what was said of that
        size = 0
        for sink in self._output.sinks:
            if (sink.size > 0) != (sink in self._blocked):
                if sink.size:
                    self._blocked.add(sink)
                    self._loop.watch(sink.fd, self.flush, writable=True)
                else:
                    self._blocked.remove(sink)
                    self._loop.unwatch(sink.fd)
            size += sink.size
        if not self._paused and size > self.limit:
            self._paused = True
            self._loop.unwatch(self._inputs.fileno())
        elif self._paused and size <= min(LOW_WATER, self.limit):
            self._paused = False
            self._loop.watch(self._inputs.fileno(), self._read_ready)

    def relax(self) -> None:
        """From now on, as everything stops, keep what a paused reader does not take, up to a higher limit."""
        self.limit = STOPPING_LIMIT

    def finish(self, interrupted: Callable[[], bool]) -> None:
        """Hand the rest to the reader: as long as it takes something, and nobody interrupts."""
        self._output.end()
        self._let_leave()
        for sink in self._output.sinks:
            waiter = Poller()
            if sink.size and not sink.broken:
                waiter.register(sink.fd, sink, writable=True)
            while sink.size and not sink.broken and not interrupted() and waiter.wait(STALL_S):
                sink.flush()
            waiter.close()

    def _hang_up(self, sink: Sink) -> None:
        assert sink.hangup_fd is not None
        self._loop.unwatch(sink.hangup_fd)
        sink.give_up()
        self.flush()

    def glance(self) -> None:
        """Show what is there already, in the midst of something that takes a while and ends with a ``flush``."""
        if not self._paused and self._read_round():
            self._output.show()

    def _read_ready(self) -> None:
        # A dyno may start in the place of one that has left, and that is the loop's: such a turn is not lent.
        if self._leaving or not self._flooded:
            self._flooded = self._read_round() >= FLOOD
            self.flush()
        elif not self._output.lend(self._read_through):
            self.flush()

    def _read_through(self) -> None:
        """What is there, and in a flood what comes meanwhile, from dyno to reader."""
        taken = 0
        while taken < TURN:
            count = self._read_round()
            taken += count
            if count < BATCH or self._paused or self._loop.is_wanted():
                break
        self.flush()
        self._flooded = taken >= FLOOD

    def _read_round(self) -> int:
        """A chunk of each stream that has one; the bytes. Each is written while it is still in the CPU's cache."""
        taken = written = 0
        for stream in self._inputs.wait(0):
            if stream in self._streams:
                taken += self._read(stream)
            if taken - written >= BATCH:
                self.flush()
                written = taken
                if self._paused:
                    break
        return taken

    def _read(self, stream: Stream) -> int:
        """One chunk. The bytes read; 0 when there is nothing now, or nothing any more."""
        try:
            chunk = self._look(stream, stream.owed) if stream.owed else os.read(stream.fd, CHUNK)
        except BlockingIOError:
            return 0
        except OSError:
            chunk = b""  # EIO: the last holder of a pty's other end has gone
        if not chunk:
            self._finish_line(stream)
            self._drop(stream)
            return 0
        if stream.recent is not None:
            stream.recent = (stream.recent + chunk)[-SCREENFUL:]
        for write, _ in list(self._taps.get(stream, ())):
            write(chunk)
        if not stream.logged:
            return len(chunk)
        splitter = stream.splitter
        whole = splitter.feed(chunk)
        if whole:
            self._output.lines(stream.source, whole)
        if splitter.size > LINE_LIMIT:
            self._output.partial(stream.source, splitter.take())
        if splitter.size:
            self._unfinished[stream] = self._loop.now() + (STALLED_S if len(chunk) >= FLOOD else PARTIAL_S)
        else:
            self._unfinished.pop(stream, None)
        return len(chunk)

    def _look(self, stream: Stream, owed: "Owed") -> bytes:
        """A chunk that stays in its pipe until it is written: what came behind all that is due of it already."""
        assert self._log
        chunk = self._log.look(stream.fd)
        if stream.due == len(chunk):
            if chunk:
                raise BlockingIOError  # nothing new
            return b""
        if stream.due:
            owed.go_on(chunk)
        else:
            owed.begin(chunk, self._log.place())
            self._owing.append(stream)
        new, stream.due = chunk[stream.due :], len(chunk)
        return new

    def _finish_line(self, stream: Stream) -> None:
        self._unfinished.pop(stream, None)
        if stream.splitter.size:
            self._output.lines(stream.source, stream.splitter.take() + b"\n")
            if stream.owed and not stream.due:
                self._owing.append(stream)  # the note tells of that line until it is written
        else:
            self._output.end_line(stream.source)

    def _drop(self, stream: Stream) -> None:
        self._streams.remove(stream)
        for _, close in self._taps.pop(stream, ()):
            close()
        if not stream.held:
            self._inputs.unregister(stream.fd)
        os.close(stream.fd)
        if stream.owed:
            stream.owed.close()
            stream.owed = None

    def _partial_due(self) -> float:
        if self._paused or not self._unfinished or not self._output.format.shows_partials:
            return FOREVER
        return min(self._unfinished.values())

    def _show_partials(self, now: float) -> None:
        for stream, due in list(self._unfinished.items()):
            # After a pause of the reading the rest may already be there.
            if now >= due and not self._read(stream) and stream in self._unfinished:
                del self._unfinished[stream]
                self._output.partial(stream.source, stream.splitter.take())
        self.flush()


def rest_of(stream: Stream) -> bytes:
    """The line that was begun."""
    rest = stream.splitter.take()
    if rest:
        stream.splitter.feed(rest)
    return rest
