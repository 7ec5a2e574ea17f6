"""Signals as people type them: ``SIGINT``, ``int``, ``2``."""

import signal


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
