"""Which of many descriptors are ready: the kernel's own list of them, where it keeps one, without ``selectors``.

On Linux that is epoll itself, in twenty lines: ``selectors`` and what it imports cost 2 ms before the first dyno, and a
tuple for each that is ready. Elsewhere it is ``selectors``.
"""

import select
import sys

from procman.typed import Any

if sys.platform == "linux":

    class Poller:
        """Descriptors with something to hand out for each. A regular file cannot be one: PermissionError."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self._data: dict[int, Any] = {}

        def register(self, fd: int, data: Any, writable: bool = False) -> None:
            """From now on, whenever ``fd`` can be read (or written), or has lost its other end."""
            self._epoll.register(fd, select.EPOLLOUT if writable else select.EPOLLIN)
            self._data[fd] = data

        def unregister(self, fd: int) -> None:
            """No more; also of one that is closed already."""
            del self._data[fd]
            try:
                self._epoll.unregister(fd)
            except OSError:
                return

        def wait(self, timeout: float | None = None) -> list[Any]:
            """What belongs to those that are ready, after ``timeout`` seconds at most; None: for ever."""
            found = self._epoll.poll(timeout, max(len(self._data), 1))
            return [self._data[fd] for fd, _ in found]

        def several(self) -> bool:
            """Whether more than one is ready now."""
            return len(self._epoll.poll(0, 2)) > 1

        def fileno(self) -> int:
            """Ready to be read when any of them is ready."""
            return self._epoll.fileno()

        def close(self) -> None:
            """Forget them all."""
            self._epoll.close()

else:
    import selectors

    class Poller:
        """The same."""

        def __init__(self) -> None:
            self._selector = selectors.DefaultSelector()
            self.unregister, self.fileno = self._selector.unregister, self._selector.fileno
            self.close = self._selector.close

        def register(self, fd: int, data: Any, writable: bool = False) -> None:
            self._selector.register(fd, selectors.EVENT_WRITE if writable else selectors.EVENT_READ, data)

        def wait(self, timeout: float | None = None) -> list[Any]:
            return [key.data for key, _ in self._selector.select(timeout)]

        def several(self) -> bool:
            return len(self._selector.select(0)) > 1
