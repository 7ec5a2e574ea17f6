"""Values of config vars, taken out of a stream of bytes before anybody stores it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote, urlsplit

MASK = b"[MASKED]"
SHORTEST = 6  # shorter ones are words such as "true", and would blot out half the output
HARMLESS = frozenset(
    {"production", "development", "staging", "enabled", "disabled", "warning", "verbose", "default"}
    | {"heroku", "procman", "python", "Python", "nodejs", "Node.js", "static", "Static", "procfile", "Procfile"}  # ours
    | {"UTF-8", "C.UTF-8", "en_US.UTF-8", "Europe/London", "Etc/UTC", "public", "localhost", "127.0.0.1", "0.0.0.0"}  # noqa: S104
)


class Masker:
    """Feed it chunks; what might be the beginning of a value is held back until the next one, or the end."""

    def __init__(self, values: Iterable[str]) -> None:
        self._secrets = secrets_of(values)
        self._held = b""
        pattern = b"|".join(re.escape(secret) for secret in self._secrets)
        self._pattern = re.compile(pattern) if pattern else None

    def feed(self, data: bytes) -> bytes:
        """What of it can be shown by now."""
        if self._pattern is None:
            return data
        text = self._pattern.sub(MASK, self._held + data)
        keep = self._beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> bytes:
        """The rest."""
        rest, self._held = self._held, b""
        return rest

    def whole(self, data: bytes) -> bytes:
        """A text that stands for itself."""
        return data if self._pattern is None else self._pattern.sub(MASK, data)

    def _beginning(self, text: bytes) -> int:
        """How many bytes at the end begin a secret."""
        longest = 0
        for secret in self._secrets:
            tail = text[-(len(secret) - 1) :]
            start = tail.find(secret[:1])
            while start >= 0:
                if secret.startswith(tail[start:]):
                    longest = max(longest, len(tail) - start)
                    break
                start = tail.find(secret[:1], start + 1)
        return longest


def hidden(config: Mapping[str, str]) -> Iterator[str]:
    """Values of config vars that no build may show. Where a buildpack comes from is no secret, but who fetches it."""
    for name, value in config.items():
        if name == "BUILDPACK_URL":
            yield from (*userinfo(value), *queried(value))
        else:
            yield value


def mask(values: Iterable[str]) -> Masker:
    """A masker for these values."""
    return Masker(values)


def userinfo(address: str) -> list[str]:
    """The user of a URL and the password, both as written and as meant; nothing where there are none."""
    try:
        parts = urlsplit(address) if "://" in address else None
    except ValueError:
        return []
    if parts is None or parts.username is None:
        return []
    return [parts.username, *({parts.password, unquote(parts.password)} if parts.password else ())]


def queried(address: str) -> list[str]:
    """The values in a URL's query, as written and as meant: a token is often told so."""
    values = [part.partition("=")[2] for part in address.partition("?")[2].partition("#")[0].split("&")]
    return [text for value in values for text in (value, unquote(value))]


def secrets_of(values: Iterable[str]) -> list[bytes]:
    """What is to be masked, longest first: the values, their lines, and the passwords in them that are addresses."""
    found: set[str] = set()
    for value in values:
        found |= {value, value.strip(), *value.strip().split("\n")}
        found.update(userinfo(value)[1:])
    worthy = {text for text in found if len(text) >= SHORTEST and text not in HARMLESS and not text.startswith("-----")}
    return sorted((text.encode("utf-8", "surrogateescape") for text in worthy), key=lambda text: (-len(text), text))
