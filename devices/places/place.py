"""The contract of a place: files in, a command run, files out, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

Label: TypeAlias = Literal["measured", "emulated"]
OnLine: TypeAlias = Callable[[str], None]
APlace = TypeVar("APlace", bound="Place")


@dataclass(frozen=True)
class Finished:
    """A command that came to its end: exit status (negative: the signal that killed it) and what it wrote."""

    status: int
    stdout: bytes
    stderr: str


class Place(Protocol):
    """A machine with a working folder of ours; open it with ``with``, and the folder is gone afterwards.

    Every method raises EnvironmentFault with a code ``E-PLACE-…`` where the place does not do as asked.
    """

    @property
    def name(self) -> str:
        """As the user writes it: ``local``, ``ssh://pi@line3:22``, ``emulated:raspberry-pi-4``."""

    @property
    def label(self) -> Label:
        """What figures from there are called; times of an emulated place mean nothing."""

    def __enter__(self: APlace) -> APlace:
        """Make the working folder."""

    def __exit__(self, *error: object) -> None:
        """Remove the working folder, whatever happened."""

    def put(self, name: str, data: bytes) -> None:
        """Write a file into the working folder."""

    def python(self, arguments: Sequence[str], on_line: OnLine, timeout: float | None = None) -> Finished:
        """Run the place's Python in the working folder; `on_line` gets each line of stderr while it runs."""

    def get(self, name: str) -> bytes:
        """Read a file of the working folder."""
