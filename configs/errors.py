"""The one error a user's input can cause: it says what, where, expected, got, and what to change."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used. The command line prints it without a traceback and exits with 2."""

    def __init__(self, where: str, expected: str, got: str, fix: str) -> None:
        self.where = where
        self.expected = expected
        self.got = got
        self.fix = fix
        super().__init__(f"{where}: expected {expected}, got {got}. {fix}")
