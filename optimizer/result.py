"""The outcome of an optimization, in one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.package import archive
from edge_runtime.package.manifest import Manifest, Variant
from optimizer.audit import Audit
from optimizer.candidates import Candidate
from optimizer.for_target import Outcome
from optimizer.report.evidence import Evidence


@dataclass(frozen=True)
class Cached:
    """What the folder of earlier results was good for: about this run, so never part of the package.

    Attributes:
        hits: Pieces of work found there.
        asked: Pieces of work that were looked for.
        trouble: Why nothing more could be kept there, None while it could.
    """

    hits: int = 0
    asked: int = 0
    trouble: str | None = None

    def __str__(self) -> str:
        return f"taken from the cache: {self.hits} of {self.asked}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what went wrong with it, in sentences."""
        return (f"nothing could be kept for the next run: {self.trouble}",) if self.trouble else ()


@dataclass(frozen=True)
class Result:
    """The outcome of an optimization.

    Attributes:
        manifest: As written into the package.
        members: The package's other members by name.
        chosen: The candidate inside.
        candidates: All of them, the user's own model first, each with its reason where it lost.
        original_bytes: Size of the user's model on disk.
        machine: What the speed-ups are of, in words.
        executed: How the runtime executes the chosen model on this machine.
        warnings: What the user should know before he trusts the result.
        evidence: What else was learned on the way, for the report.
        cached: What the folder of earlier results was good for.
        others: What came out for further targets; all else here is of the first.
    """

    manifest: Manifest
    members: dict[str, bytes]
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    original_bytes: int
    machine: str
    executed: Audit
    warnings: tuple[str, ...]
    evidence: Evidence = field(default_factory=Evidence)
    cached: Cached = field(default_factory=Cached)
    others: tuple[Outcome, ...] = ()

    @property
    def variant(self) -> Variant:
        """Return the chosen form as the package holds it; with several targets it need not be the first there."""
        return next(one for one in self.manifest.variants if self.members[one.file] == self.chosen.data)

    def write(self, path: str | Path) -> None:
        """Write the package; it is there whole or not at all."""
        archive.write(Path(path), self.manifest, self.members)
