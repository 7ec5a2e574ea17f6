"""A log file under a name that somebody chose: plain lines, appended, rotated by size to NAME.1, NAME.2 and so on.

Rotation renames and so loses no line; the oldest file goes when there are ``keep`` of them. Whoever renames or deletes
the file meanwhile (logrotate) gets the next lines in a new one. Trouble with the disk never reaches the caller: what
cannot be written is counted, and told of in the file once there is room again.
"""

import errno
import os
import stat

FILE_BYTES = 10 << 20
FILES_KEPT = 5
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
MODE = 0o644
PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EEXIST}  # a disk may have room again; another has made the file meanwhile


class LogFile:
    """``append``: go on behind what is there; otherwise that is rotated away first. Devices are just written to."""

    def __init__(self, path: str, append: bool, max_bytes: int = FILE_BYTES, keep: int = FILES_KEPT) -> None:
        self.path = path
        self.lost = 0  # bytes, since the last report
        self.trouble = ""
        self._max_bytes = max_bytes
        self._keep = keep
        self._fd = -1
        self._identity = (0, 0)
        self._torn = False
        if not append and os.path.isfile(path) and os.path.getsize(path):
            self._rotate()
        self._settle(0)

    def write(self, data: bytes) -> None:
        """Whole lines, each with its newline. Raises nothing."""
        report = f"procman: {self.lost} bytes of log were lost: {self.trouble}\n".encode() if self.lost else b""
        text, done = report + data, 0
        try:
            if self._settle(len(text)):
                if self._torn:
                    os.write(self._fd, b"\n")
                    self._torn = False
                while done < len(text):
                    done += os.write(self._fd, memoryview(text)[done:])
        except OSError as error:
            self.trouble = error.strerror or str(error)
            self._torn = self._torn or (done > 0 and text[done - 1 : done] != b"\n")
        if done >= len(report):
            self.lost = len(text) - done
        else:
            self.lost += len(data)

    def lose(self, size: int, why: str) -> None:
        """So much was lost on its way here."""
        self.trouble = why
        self.lost += size

    def _settle(self, coming: int) -> bool:
        """Have the file open that stands under the name, with room for what is coming."""
        try:
            seen = os.stat(self.path)
            if self._fd >= 0 and (seen.st_ino, seen.st_dev) != self._identity:
                self._release()
            if stat.S_ISREG(seen.st_mode) and seen.st_size and seen.st_size + coming > self._max_bytes:
                self._rotate()
        except OSError:
            self._release()  # it is gone
        return self._fd >= 0 or self._open()

    def _open(self) -> bool:
        try:
            self._fd = os.open(self.path, FLAGS, MODE)
        except OSError as error:
            self.trouble = error.strerror or str(error)
            return False
        seen = os.fstat(self._fd)
        self._identity = (seen.st_ino, seen.st_dev)
        return True

    def _rotate(self) -> None:
        """NAME to NAME.1, that to NAME.2 and so on. Where that cannot be, the file grows instead."""
        try:
            for number in range(self._keep - 1, 0, -1):
                if os.path.lexists(f"{self.path}.{number}"):
                    os.replace(f"{self.path}.{number}", f"{self.path}.{number + 1}")
            os.replace(self.path, f"{self.path}.1")
        except OSError as error:
            self.trouble = error.strerror or str(error)
            return
        self._release()

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class LogFiles:
    """A ``Keeper`` of several: ``everything``, and what dynos wrote to their stdout and stderr. Shared names share."""

    def __init__(self, everything: str, out: str, errors: str, append: bool) -> None:
        files = {path: LogFile(path, append) for path in dict.fromkeys((everything, out, errors)) if path}
        self._everything = files.get(everything)
        self._streams = {"stdout": files.get(out), "stderr": files.get(errors)}

    @property
    def trouble(self) -> str:
        """Why a file could not be opened."""
        files = [self._everything, *self._streams.values()]
        return "; ".join(f"{file.path}: {file.trouble}" for file in files if file and file.trouble)

    def append(self, source: str, data: bytes) -> None:
        """``source``: "stdout", "stderr" or "system"."""
        stream = self._streams.get(source)
        if stream:
            stream.write(data)
        if self._everything and self._everything is not stream:
            self._everything.write(data if source in self._streams else marked(data))

    def lose(self, source: str, size: int, why: str) -> None:
        """So much of a source was lost on its way here."""
        for file in dict.fromkeys((self._streams.get(source), self._everything)):
            if file:
                file.lose(size, why)


def hindrance(path: str, append: bool = True) -> str:
    """Why no file can be written there, or nothing; no file is left of the try. What may pass is none.

    Unless ``append``, what is there is renamed first, for which it need not be ours.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if not append and os.path.isfile(path) and os.access(folder, os.W_OK | os.X_OK):
        return ""
    new = not os.path.lexists(path)
    if not (new or os.path.isfile(path) or os.path.isdir(path)):
        return ""  # a pipe's reader would take the end of a try for the end of all
    try:
        os.close(os.open(path, FLAGS | (os.O_EXCL if new else 0), MODE))
        if new:
            os.unlink(path)
    except OSError as error:
        return "" if error.errno in PASSING else error.strerror or str(error)
    return ""


def marked(data: bytes) -> bytes:
    """Lines of procman's own, told from those of a program by their beginning."""
    return b"procman: " + data[:-1].replace(b"\n", b"\nprocman: ") + b"\n"
