"""Bytes of a hand-written file to lines of text, with findings about encoding and line ends."""

from procman.formats.diagnostic import Diagnostic
from procman.typed import NamedTuple

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class DecodedLines(NamedTuple):
    """Lines without their ends. Undecodable bytes became U+FFFD, each such line with an error beside it."""

    lines: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


def decoded_lines(data: bytes, file: str) -> DecodedLines:
    r"""Decode UTF-8, strip a BOM, take ``\r\n`` and lone ``\r`` as line ends; report what was odd."""
    if data.startswith(_UTF16):
        message = "the file is UTF-16; save it as UTF-8"
        return DecodedLines((), (Diagnostic(file, 1, "error", "not-utf-8", message),))
    found: list[Diagnostic] = []
    if data.startswith(_BOM):
        data = data[len(_BOM) :]
        message = (
            "the file begins with a byte order mark (BOM): Heroku, honcho and foreman lose the first line"
        )
        found.append(Diagnostic(file, 1, "warning", "bom", message))
    if b"\r" in data:
        found += _carriage_returns(data, file)
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    raw = data.split(b"\n")
    if raw[-1] == b"":
        raw.pop()
    if b"\0" in data:
        for number, line in enumerate(raw, 1):
            if b"\0" in line:
                message = (
                    f"a NUL byte at byte {line.index(0) + 1} of the line: no command or variable can hold one"
                )
                found.append(Diagnostic(file, number, "error", "nul-byte", message))
    try:
        lines = data.decode().split("\n")[: len(raw)]
    except UnicodeDecodeError:
        lines = []
        for number, line in enumerate(raw, 1):
            try:
                lines.append(line.decode())
            except UnicodeDecodeError as error:
                found.append(_undecodable(file, number, line, error.start))
                lines.append(line.decode(errors="replace"))
    return DecodedLines(tuple(lines), tuple(found))


def _undecodable(file: str, number: int, line: bytes, offset: int) -> Diagnostic:
    message = f"not UTF-8: byte 0x{line[offset]:02x} at byte {offset + 1} of the line"
    return Diagnostic(file, number, "error", "not-utf-8", message)


def _carriage_returns(data: bytes, file: str) -> list[Diagnostic]:
    """One warning for each kind of line end that is not ours, at its first place."""
    found: list[Diagnostic] = []
    windows = data.find(b"\r\n")
    if windows >= 0:
        message = (
            "Windows line ends (CRLF), read as plain ones here; a tool that keeps the \\r breaks the command"
        )
        found.append(Diagnostic(file, _line_at(data, windows), "warning", "crlf", message))
    alone = data.replace(b"\r\n", b"\n\n").find(b"\r")  # the same length, so that offsets hold
    if alone >= 0:
        message = (
            "a lone carriage return, read as a line end as Heroku does; honcho and editors may not agree"
        )
        found.append(Diagnostic(file, _line_at(data, alone), "warning", "carriage-return", message))
    return found


def _line_at(data: bytes, offset: int) -> int:
    head = data[:offset].replace(b"\r\n", b"\n")
    return head.count(b"\n") + head.count(b"\r") + 1
