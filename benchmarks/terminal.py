"""A terminal for managers that run in nothing else; whatever they draw is thrown away."""

import fcntl
import os
import struct
import termios
import threading

SIZE = struct.pack("HHHH", 40, 120, 0, 0)  # rows, columns


class Terminal:
    """``descriptor``: the manager's end."""

    def __init__(self) -> None:
        self._master, self.descriptor = os.openpty()
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, SIZE)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while os.read(self._master, 65_536):
                pass
        except OSError:  # EIO: nobody has the other end any more
            return

    def close(self) -> None:
        """When nobody else has the manager's end any more."""
        os.close(self.descriptor)
        self._thread.join()
        os.close(self._master)
