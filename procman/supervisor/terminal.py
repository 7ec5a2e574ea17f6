"""Terminals: ours, whose size counts, and the ptys that dynos get when we have one."""

import fcntl
import os
import struct

DEFAULT_SIZE = (24, 80)


def open_pty(rows: int, columns: int, raw: bool = True) -> tuple[int, int, str]:
    """Master, slave and the slave's path. ``raw``: newlines stay single bytes, as the log is not a terminal."""
    master, slave = os.openpty()
    if raw:
        import termios  # noqa: PLC0415 - not before a first dyno without a terminal

        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
    set_size(master, rows, columns)
    return master, slave, os.ttyname(slave)


def set_size(fd: int, rows: int, columns: int) -> None:
    """Resize a terminal; its foreground processes get SIGWINCH."""
    import termios  # noqa: PLC0415

    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def get_size(fd: int) -> tuple[int, int]:
    """Rows and columns of a terminal; 24 by 80 when it does not say."""
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return DEFAULT_SIZE
    return (size.lines, size.columns) if size.columns and size.lines else DEFAULT_SIZE
