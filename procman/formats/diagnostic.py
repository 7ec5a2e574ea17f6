"""What is wrong, or would surprise, at a place in a file the user wrote."""

from procman.typed import NamedTuple


class Diagnostic(NamedTuple):
    """One finding, printed like a compiler's: ``Procfile:7: error: message [code]``.

    ``line`` counts from 1; None when the finding is about the whole file. ``code`` is a stable kebab-case
    word that scripts may match.
    """

    file: str
    line: int | None
    severity: str  # error or warning
    code: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.severity}: {self.message} [{self.code}]"
