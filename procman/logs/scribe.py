"""The hand that writes what is kept: a thread of its own, so that a disk that hangs hangs nobody else.

No file can be asked to be written without waiting, and a wait cannot be cut short by whoever waits. So each batch is
handed over, and before its turn ends the loop waits until all is written (``settle``): on a healthy disk, what the loop
has dealt with is with the kernel, and a killed supervisor loses nothing of it. For lines the thread is woken only then:
what the loop does before, such as showing them, has the interpreter for itself. If that takes over PATIENCE_S, the disk
stalls. From then on nobody waits: batches queue up to LIMIT bytes, what comes on top is counted, and the keeper is
told of the gap, in its place, as soon as there is room. REST_S after the queue is empty, each turn waits again: a disk
that stalls again and again costs the loop one PATIENCE_S each time.

Where the loop would only read, hand over and wait, it lends all of that to the thread (``lend``): so no chunk goes from
one CPU's cache to another's, and no line waits for two threads. Should the disk stall then, the loop takes it back:
the thread does nothing more of it, but writes what waits, as ever.
"""

import os
import time
from _thread import LockType, allocate_lock, start_new_thread

from procman.lean import deque, signal
from procman.logs.formats import Source
from procman.typed import Callable, NamedTuple, Protocol

PATIENCE_S = 0.1
REST_S = 5.0
LIMIT = 8 << 20  # bytes that wait for a slow disk
CLOSE_S = 2.0  # at the end, so long is waited for what still waits
NOTE = 512  # bytes that a task takes besides its lines
SLOW = "the disk was too slow"

Task = Callable[[], object]


class Keeper(Protocol):
    """What keeps lines for later, such as a ``LogStore``. Nothing of it raises."""

    def append(self, source: Source, data: bytes, wall: float) -> None:
        """Whole lines, each with its newline. ``wall``: seconds since the epoch."""

    def lose(self, source: Source, lines: int, size: int, why: str) -> None:
        """So much of a source has been lost here, on its way to ``append``."""

    def close(self) -> None:
        """Nothing more is coming."""


class Losses(NamedTuple):
    """How the keeping goes: bytes that wait for the disk, and what was lost since the last gap was told of."""

    waiting: int
    lines: int
    size: int
    why: str


class Disowned(BaseException):
    """The loop has gone on without the thread, which was writing: what it did for the loop ends here."""


class Scribe:
    """Hands lines and other tasks that touch the disk to its thread, in order. One thread at a time may call it.

    ``limit``: see LIMIT. The thread is started with the first task, by ``start``, and sleeps when there is none.
    """

    def __init__(
        self,
        keeper: Keeper | None,
        limit: int = LIMIT,
        patience: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None], tuple[()]], object] = start_new_thread,
    ) -> None:
        self._keeper = keeper
        self._limit = limit
        self._patience = patience
        self._clock = clock
        self._start = start
        self._tasks: deque[tuple[Task, int, LockType]] = deque()
        self._news = allocate_lock()  # unlocked: there may be tasks
        self._news.acquire()
        self._started = False
        self._given = 0  # bytes, counted here
        self._taken = 0  # bytes, counted by the thread
        self._stalled = False
        self._unwaited = False  # the loop has to be told when the last batch is written
        self._trust_at = 0.0
        self._last: LockType | None = None
        self._let_go: LockType | None = None  # the batch that nobody waits for, of which the loop is told once
        self._missed: dict[Source, tuple[int, int]] = {}  # lines and bytes, until the keeper can be told
        self._claim: LockType | None = None  # the loop's work is lent to the thread; who holds this may do it
        self._own: deque[tuple[Task, int]] = deque()  # what came of that and is to be written
        self._failure: Exception | None = None
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    @property
    def waiting(self) -> int:
        """Bytes handed over and not written yet."""
        return self._given - self._taken

    def append(self, source: Source, data: bytes, wall: float) -> None:
        """Whole lines. They are written by the next ``settle``."""
        keeper = self._keeper
        if keeper is None or not data:
            return
        if not self._has_room(len(data) + NOTE):
            lines, size = self._missed.get(source, (0, 0))
            self._missed[source] = lines + data.count(b"\n"), size + len(data)
            return
        self._tell_losses()
        self._hand_over(lambda: keeper.append(source, data, wall), len(data) + NOTE)

    @property
    def stalls(self) -> bool:
        """Whether the disk takes nothing at present."""
        return self._stalled and bool(self._tasks)

    def do(self, task: Task, size: int = 0) -> bool:
        """Have something done on the disk that holds so many bytes; False where nothing fits any more."""
        if not self._has_room(size + NOTE):
            return False
        self._hand_over(task, size + NOTE)
        if not self._claim:
            self._wake()  # nobody need ever settle it
        return True

    def losses(self, lines: int = 0, size: int = 0, why: str = "") -> Losses:
        """How it goes, with what the keeper counts itself."""
        missed = self._missed.values()
        return Losses(
            self.waiting,
            lines + sum(each[0] for each in missed),
            size + sum(each[1] for each in missed),
            SLOW if missed else why,
        )

    def lend(self, work: Callable[[], None]) -> bool:
        """Have something done that appends and settles, by the thread if that is free. The caller waits meanwhile.

        False: the disk stalls, and ``work`` has come to its ``settle`` or has not begun; the rest is the caller's.
        """
        if self._keeper is None or self._tasks or self._stalled or self._clock() < self._trust_at:
            work()
            return True
        self._tell_losses()
        claim, done = allocate_lock(), locked()
        self._claim = claim
        self._tasks.append((lambda: self._borrow(work, claim), 0, done))
        self._unwaited = False
        self._wake()
        while not done.acquire(timeout=self._patience):
            if claim.acquire(blocking=False):
                self._claim, self._stalled = None, True
                self._go_on_without()
                return False
        self._claim = None
        failure, self._failure = self._failure, None
        if failure:
            raise failure
        return True

    def settle(self) -> None:
        """Wait until what was handed over is written, unless the disk stalls."""
        if self._claim:
            self._write_own(self._claim)
        elif self._clock() >= self._trust_at:
            self._wait()
        elif self._last and self._last is not self._let_go:
            self._let_go = self._last
            self._wake()
            self._go_on_without()

    def close(self, patience: float = CLOSE_S) -> None:
        """Wait a while for what still waits, and for the keeper to close."""
        self._tell_losses()
        done = locked()
        self._tasks.append((self._keeper.close if self._keeper else self.heed, 0, done))
        self._wake()
        done.acquire(timeout=patience)

    def fileno(self) -> int:
        """Becomes readable when something has been written that nobody waited for."""
        return self._reader

    def heed(self) -> None:
        """Take note of that. What has to be done then, is done after every turn of the loop."""
        try:
            os.read(self._reader, NOTE)
        except BlockingIOError:
            pass

    def _has_room(self, size: int) -> bool:
        """Whether that fits. A disk that does not stall gets the time to make room."""
        if self._claim:
            return True  # it is written before much more is read
        if self.waiting + size > self._limit:
            self._wait()
        # Behind a gap there has to be room for many lines, or every other one would make a gap of its own.
        return self.waiting + size <= (self._limit // 2 if self._missed else self._limit) or not self.waiting

    def _wait(self) -> None:
        done, self._last = self._last, None
        if not done:
            return
        self._wake()
        if not self._stalled and not done.acquire(timeout=self._patience):
            self._stalled = True
            self._go_on_without()

    def _go_on_without(self) -> None:
        self._unwaited = True
        if not self._tasks:
            self._tell_loop()  # it was written just now, and the thread did not know that yet

    def _tell_losses(self) -> None:
        missed, self._missed = self._missed, {}
        keeper = self._keeper
        for source, (lines, size) in missed.items():
            assert keeper
            self._hand_over(lambda s=source, n=lines, b=size: keeper.lose(s, n, b, SLOW), NOTE)  # type: ignore[misc]

    def _borrow(self, work: Callable[[], None], claim: LockType) -> None:
        """On the thread: do what the loop lends, unless that does it by now."""
        if not claim.acquire(blocking=False):
            return
        try:
            work()
            self._write_own(claim)  # what was said after its last ``settle``, as when the reader has gone
        except Disowned:
            pass
        except Exception as error:
            self._failure = error

    def _write_own(self, claim: LockType) -> None:
        """On the thread, amid what the loop lends. Meanwhile the loop may take that back."""
        if not self._own:
            return
        claim.release()
        while self._own:
            self._perform(*self._own.popleft())
        if not claim.acquire(blocking=False):
            raise Disowned

    def _hand_over(self, task: Task, size: int) -> None:
        self._given += size
        if self._claim:
            self._own.append((task, size))
            return
        if self._stalled and not self._tasks:
            self._stalled, self._trust_at = False, self._clock() + REST_S
        self._last = locked()
        self._tasks.append((task, size, self._last))
        self._unwaited = self._stalled

    def _wake(self) -> None:
        if not self._started:
            try:
                self._start(self._work, ())
                self._started = True
            except RuntimeError:  # no more threads for this user: then it is done here
                self._empty()
                return
        try:
            self._news.release()
        except RuntimeError:
            pass  # it has been told, and not looked yet

    def _work(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for who looks after dynos
        while True:
            self._news.acquire()
            self._empty()
            if self._unwaited:
                self._tell_loop()

    def _tell_loop(self) -> None:
        try:
            os.write(self._writer, b"\0")
        except OSError:
            pass  # it has enough to read, or is gone

    def _empty(self) -> None:
        while self._tasks:
            task, size, done = self._tasks[0]
            self._perform(task, size)
            self._tasks.popleft()
            done.release()

    def _perform(self, task: Task, size: int) -> None:
        try:
            task()
        except Exception:  # noqa: S110 - our own mistake: it must cost neither a dyno nor the lines to come
            pass
        self._taken += size


def locked() -> LockType:
    """A lock that somebody else releases when it is time."""
    lock = allocate_lock()
    lock.acquire()
    return lock
