"""The errors a person can cause. Every room may import this file; it imports none."""


class ProcmanError(Exception):
    """A refusal that a person can act on: printed as one line, with a hint to type, never as a traceback.

    ``what`` reads "cannot X: reason" and names the offending value and its place (``Procfile:7``).
    ``hint`` is something that can be typed. ``exit_code``: 1 refused, 2 usage, 127 command not found.
    """

    def __init__(self, what: str, hint: str | None = None, exit_code: int = 1) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.exit_code = exit_code


class UsageError(ProcmanError):
    """The command line (or a settings file standing in for it) is wrong; exit code 2."""

    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what, hint, exit_code=2)


class TryLater(ProcmanError):
    """What was tried too often. ``seconds``: until it may be tried again."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(what)
        self.seconds = seconds
