"""Durations as people type them: ``30``, ``30s``, ``500ms``, ``5m``, ``1h30m``; seconds everywhere else."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = r"([0-9]{1,12}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})(ms|[smhd])"
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}"
_WHOLE = rf"(?:{_PART})+"


def parse(text: str) -> float:
    """Seconds. A bare number is seconds (foreman, overmind). ValueError for anything else."""
    import re  # noqa: PLC0415 - most starts read no duration

    bare = text.strip().lower()
    if re.fullmatch(_NUMBER, bare):
        return float(bare)
    if not re.fullmatch(_WHOLE, bare):
        raise ValueError("not a duration such as 30, 30s, 500ms or 5m")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, bare))


def written(seconds: float) -> str:
    """The shortest exact way to write a duration: ``90.0`` is ``1m30s``."""
    if seconds < 60 or seconds != int(seconds):
        return f"{seconds:g}s"
    parts = []
    rest = int(seconds)
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
