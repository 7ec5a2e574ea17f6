"""Signals as people type them: ``SIGINT``, ``int``, ``2``."""

import signal

from procman.typed import Sequence


def parse(text: str) -> str:
    """The full name. ValueError says what may have been meant."""
    word = text.strip().upper()
    try:
        if word.isascii() and word.isdecimal():
            return signal.Signals(int(word)).name
        return signal.Signals[f"SIG{word.removeprefix('SIG')}"].name
    except (KeyError, ValueError):
        pass
    from difflib import get_close_matches  # noqa: PLC0415 - for who made a mistake

    name = f"SIG{word.removeprefix('SIG')}"
    near = get_close_matches(name, [one.name for one in signal.Signals], 2, 0.75) if word.isalpha() else []
    raise ValueError(f"no signal '{text}': " + (f"did you mean {' or '.join(near)}?" if near else "kill -l lists them"))


def spelt_out(words: Sequence[str]) -> list[str]:
    """A command line in which ``-9`` and ``-HUP``, as kill(1) takes them, are ``-s 9`` and ``-s HUP``."""
    spelt: list[str] = []
    for word in words:
        name = word[1:]
        is_signal = word.startswith("-") and name.isalnum() and (name.isdecimal() or name.isupper())
        spelt += ["-s", name] if is_signal else [word]
    return spelt
