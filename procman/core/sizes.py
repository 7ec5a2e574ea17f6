"""Dyno sizes, by Heroku's names (Heroku: dyno-memory-behavior, dyno-scaling-and-process-limits)."""

from procman.core.plan import Limits

MB = 1 << 20
GB = 1 << 30
DEFAULT_SIZE = "Basic"

SIZES: dict[str, Limits] = {
    limits.size: limits
    for limits in (
        Limits("Eco", 512 * MB, GB, 256),
        Limits("Basic", 512 * MB, GB, 256),
        Limits("Standard-1X", 512 * MB, GB, 256),
        Limits("Standard-2X", GB, 2 * GB, 512),
        Limits("Performance-M", 2560 * MB, 5 * GB, 16_384),
        Limits("Performance-L", 14 * GB, 28 * GB, 32_768),
        Limits("Performance-L-RAM", 30 * GB, 36 * GB, 24_576),
        Limits("Performance-XL", 62 * GB, 74 * GB, 32_768),
        Limits("Performance-2XL", 126 * GB, 151 * GB, 65_536),
    )
}
_BY_WORD = {name.lower(): name for name in SIZES}


def canonical(word: str) -> str | None:
    """``standard-1x`` → ``Standard-1X`` (the client sends sizes as typed); None for what there is not."""
    return _BY_WORD.get(word.lower())
