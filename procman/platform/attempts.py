"""How often one may guess: token buckets, by who calls and by which account is meant.

Who calls comes first: a caller without a token is not even looked at, so it can neither keep the threads for passwords
busy nor empty an account's bucket. An account's holds more, and fills faster, than a caller's: one caller alone never
locks anybody else out of an account. Keys cannot be guessed, so a right one is never refused; wrong ones are counted
to stop what knocks without end.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

from procman.errors import TryLater

MOST_REMEMBERED = 10_000


class Buckets:
    """One for each name: ``most`` tokens, of which one comes back every ``every`` seconds."""

    def __init__(self, most: int, every: float, now: Callable[[], float]) -> None:
        self._slack = (most - 1) * every
        self._every = every
        self._now = now
        self._full_at: OrderedDict[str, float] = OrderedDict()  # when all of a name's tokens will be back

    def wait(self, name: str) -> float:
        """Seconds until there is a token; 0 if there is one."""
        return max(0.0, self._full_at.get(name, 0.0) - self._now() - self._slack)

    def take(self, name: str) -> None:
        """One token; the longest untouched names are forgotten."""
        self._full_at[name] = max(self._full_at.pop(name, 0.0), self._now()) + self._every
        if len(self._full_at) > MOST_REMEMBERED:
            self._full_at.popitem(last=False)

    def give_back(self, name: str) -> None:
        """It was not deserved to be taken."""
        if name in self._full_at:
            self._full_at[name] -= self._every


class Attempts:
    """Passwords and keys that are tried; forgotten with the server."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._callers = Buckets(10, 30.0, now)
        self._accounts = Buckets(30, 15.0, now)
        self._keys = Buckets(60, 1.0, now)

    def begin(self, caller: str, email: str) -> None:
        """A password is going to be checked: it counts as wrong until it is ``right``. Raises TryLater."""
        if wait := self._callers.wait(caller):
            raise TryLater("too many failed logins from where you are", wait)
        if wait := self._accounts.wait(email):
            raise TryLater("too many failed logins for this account", wait)
        self._callers.take(caller)  # now, and not when it is known to be wrong: many at once are many
        self._accounts.take(email)

    def right(self, caller: str, email: str) -> None:
        """It was the right one."""
        self._callers.give_back(caller)
        self._accounts.give_back(email)

    def wrong_key(self, caller: str) -> None:
        """A key was nobody's. Raises TryLater when that happens all the time."""
        if wait := self._keys.wait(caller):
            raise TryLater("too many wrong keys from where you are", wait)
        self._keys.take(caller)
