"""`procman attach`: this terminal becomes the dyno's, until the detach key or the dyno's end."""

import os
import select
import signal
import sys
import termios

from procman.cli.options import Given
from procman.cli.request import ask, home_of, text
from procman.cli.target import Located, connect, succeed
from procman.errors import UsageError

DETACH_KEY = "ctrl-]"
CHUNK = 1 << 16


def attach(told: Given, own: dict[str, bool]) -> int:
    """Join the dyno's terminal. Without a terminal of our own, input is passed on as it is."""
    key = key_byte(text(told, "detach_key") or DETACH_KEY)
    if len(told.arguments) != 1:
        raise UsageError("cannot attach to several dynos at once", "procman attach web.1")
    dyno = told.arguments[0]
    terminal = os.isatty(0)
    with Located(told):
        client = connect(home_of(told), text(told, "socket") or None)
        for answer in client.ask("attach", dynos=[dyno], size=window() if terminal else None):
            succeed(answer)
    if not terminal:
        return join(client.socket.fileno(), key, client.raw())
    before = termios.tcgetattr(0)
    signal.signal(signal.SIGWINCH, lambda *_: resize(told, dyno))
    sys.stderr.write(f"Attached to {dyno}; {text(told, 'detach_key') or DETACH_KEY} detaches.\n")
    try:
        termios.tcsetattr(0, termios.TCSADRAIN, raw(before))
        status = join(client.socket.fileno(), key, client.raw())
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
    sys.stderr.write(f"\nDetached from {dyno}.\n" if status == 0 else f"\n{dyno} has ended.\n")
    return status


def join(peer: int, key: bytes, first: bytes) -> int:
    """Copy both ways, ``first`` what has come already: 0 when detached by key, 1 when the dyno ended."""
    os.write(1, first)
    sources = [0, peer]
    while True:
        for fd in select.select(sources, [], [])[0]:
            data = os.read(fd, CHUNK)
            if fd == peer:
                if not data:
                    return 1
                os.write(1, data)
                continue
            before, pressed, _ = data.partition(key)
            send(peer, before)
            if pressed:
                return 0
            if not data:
                sources = [peer]  # no more input; what the dyno says is still wanted


def send(peer: int, data: bytes) -> None:
    """All of it."""
    while data:
        data = data[os.write(peer, data) :]


def raw(attributes: list[int | list[bytes | int]]) -> list[int | list[bytes | int]]:
    """Keys go to the dyno as they are; newlines that it writes are still given their carriage return by ours."""
    iflag, oflag, cflag, lflag, *rest = attributes
    assert isinstance(iflag, int)
    assert isinstance(lflag, int)
    iflag &= ~(termios.ICRNL | termios.IXON | termios.INLCR | termios.IGNCR)
    lflag &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
    return [iflag, oflag, cflag, lflag, *rest]


def window() -> list[int] | None:
    """Rows and columns of our terminal; some, such as those of scripts that type, have none."""
    columns, rows = os.get_terminal_size(0)
    return [rows, columns] if rows and columns else None


def resize(told: Given, dyno: str) -> None:
    """Ours has another size now, and so has the dyno's."""
    ask(told, "resize", dynos=[dyno], size=window())


def key_byte(word: str) -> bytes:
    """``ctrl-]`` as the byte that the key sends. Raises UsageError."""
    name = word.lower().removeprefix("ctrl-").removeprefix("^")
    if len(name) != 1 or name == word.lower() or not 0x40 <= ord(name.upper()) <= 0x5F:
        raise UsageError(f"cannot use --detach-key {word}: ctrl- and one letter or sign is wanted", "ctrl-]")
    return bytes([ord(name.upper()) & 0x1F])
