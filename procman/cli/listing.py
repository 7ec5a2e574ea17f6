"""Results on stdout: text that any bytes may be part of, aligned columns, and JSON."""

import os
import sys

from procman.errors import ProcmanError
from procman.lean import signal
from procman.typed import Iterable, Sequence


def emit(text: str) -> None:
    """Print a line. Undecodable bytes of the environment come out as they went in, whatever the locale."""
    write((text.encode("utf-8", "surrogateescape") + b"\n",))


def write(pieces: Sequence[bytes]) -> None:
    """Print bytes as they are. Raises ProcmanError when the disk is full, BrokenPipeError when the reader has gone."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        stop_printing()
        raise ProcmanError(f"cannot print: {error.strerror}") from None


def stop_printing() -> None:
    """What could not be printed, as its reader has gone or the disk is full, is not tried again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def reader_gone() -> int:
    """The exit status of who prints to nobody any more (`| head`), as if SIGPIPE had ended it."""
    stop_printing()
    return 128 + signal.SIGPIPE


def emit_json(value: object) -> None:
    """Print one JSON object."""
    import json

    emit(json.dumps(value, indent=2))


def columns(rows: Iterable[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows with their columns aligned, two blanks between them."""
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        (indent + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in table
    ]


def counted(number: int, noun: str) -> str:
    """``1 error``, ``2 errors``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
