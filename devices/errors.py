"""The exception tree: every error says what happened, has a stable code, and names the next thing to do.

EdgeoptError
 ├─ WrongUsage         exit 2   the command or its options make no sense together
 ├─ BadInput           exit 3   a file, a model, a dataset or a configuration cannot be used
 ├─ BudgetNotMet       exit 4   the work was done, the demanded result was not reached
 ├─ EnvironmentFault   exit 5   broker, disk or a missing library
 └─ Refused            exit 6   refused for safety: the input is damaged or proves itself wrong
"""

from __future__ import annotations

from typing import ClassVar


class EdgeoptError(Exception):
    """Base of all errors shown to a user.

    Args:
        code: Stable identifier such as ``E-CONFIG-UNKNOWN-KEY``; documented in docs/errors.md.
        message: What happened and where (file:line or key path).
        fix: What to do next, as a sentence or a command to type.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.code}: {self.message}\n  fix: {self.fix}"

    def __reduce__(self) -> tuple[type[EdgeoptError], tuple[str, str, str]]:
        """Travel whole from a worker process to the one that waits for it."""
        return type(self), (self.code, self.message, self.fix)


class WrongUsage(EdgeoptError):
    """The command's options contradict each other or miss one."""

    exit_status = 2


class BadInput(EdgeoptError):
    """A file, model, dataset or configuration cannot be used as it is."""

    exit_status = 3


class BudgetNotMet(EdgeoptError):
    """The work was done but the demanded result was not reached."""

    exit_status = 4


class EnvironmentFault(EdgeoptError):
    """Something around the program is missing or does not answer."""

    exit_status = 5


class Refused(EdgeoptError):
    """Refused for safety: the input is damaged or proved itself wrong."""

    exit_status = 6
