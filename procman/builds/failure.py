"""A build that fails for a reason that can be told."""

from collections.abc import Sequence


class BuildFailed(Exception):
    """``reason``: as in BuildResult. ``failure``: a sentence for the record; ``words``: lines still to be printed."""

    def __init__(self, reason: str, failure: str, words: Sequence[str] = ()) -> None:
        super().__init__(failure)
        self.reason = reason
        self.failure = failure
        self.words = tuple(words)


class Ended(BaseException):
    """The build is to end at once: ``timeout``, ``cancelled``, ``killed`` as its keeper. No handler shall catch it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
