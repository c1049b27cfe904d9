"""What one row of the fault matrix showed, and the report of all rows."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from faults.kept_broker import version as broker_version

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Result:
    """One row's outcome: it passes where it ran and there are no problems.

    Attributes:
        row: For instance ``F01``.
        title: What was done to the system.
        repeats: How often.
        seed: What the random choices came from.
        numbers: Measured values, by name with unit.
        problems: What was not as promised, in words.
        not_run: Why it could not run here, None where it ran.
        seconds: How long it took.
    """

    row: str
    title: str
    repeats: int
    seed: int
    numbers: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    not_run: str | None = None
    seconds: float = 0.0

    @property
    def word(self) -> str:
        """Return pass, FAIL or not run."""
        return "not run" if self.not_run else "FAIL" if self.problems else "pass"

    def expect(self, holds: bool, problem: str) -> None:
        """Note a problem unless the condition holds."""
        if not holds and len(self.problems) < 30:
            self.problems.append(problem)

    def highest(self, name: str, value: float | None) -> None:
        """Keep the highest value measured under a name."""
        if value is not None:
            self.numbers[name] = max(round(value, 3), self.numbers.get(name, 0))

    def add(self, name: str, value: float) -> None:
        """Add to a sum."""
        self.numbers[name] = self.numbers.get(name, 0) + value


@dataclass(frozen=True)
class Bench:
    """What a row is given.

    Attributes:
        folder: Empty, for its files.
        seed: For its random choices.
        scale: 1 for the published counts; smaller for fewer repeats.
    """

    folder: Path
    seed: int
    scale: float

    def count(self, published: int, least: int = 1) -> int:
        """Return how many repeats to do of those published."""
        return max(least, round(published * self.scale))

    def span(self, published: float, least: float) -> float:
        """Return how many seconds to last of those published."""
        return max(least, published * self.scale)


Row: TypeAlias = Callable[[Bench], Result]


def versions() -> dict[str, str]:
    """Return what the rows ran on."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    packages = ("onnxruntime", "paho-mqtt", "msgspec", "numpy")
    return {
        "edgeopt": described.stdout.strip() or metadata.version("edgeopt"),
        "Python": platform.python_version(),
        "kernel": platform.release(),
        "broker": broker_version(),
        **{name: metadata.version(name) for name in packages},
    }


def report(results: Sequence[Result], given: Mapping[str, object]) -> str:
    """Return the whole as Markdown; `given` is how it was started."""
    words = [one.word for one in results]
    lines = [
        "# Fault matrix",
        "",
        f"{words.count('pass')} passed, {words.count('FAIL')} failed, {words.count('not run')} not run.",
        "",
        *(f"* {name}: {value}" for name, value in {**given, **versions()}.items()),
        "",
        "| Row | Fault | Repeats | Seed | Seconds | Result | Measured |",
        "|---|---|---|---|---|---|---|",
        *(_line(one) for one in results),
    ]
    for one in results:
        if one.problems:
            lines += ["", f"## {one.row} failed", "", *(f"* {problem}" for problem in one.problems)]
    return "\n".join(lines) + "\n"


def _line(one: Result) -> str:
    measured = one.not_run or ", ".join(f"{name} {value}" for name, value in one.numbers.items())
    measured = measured.replace("|", "/").replace("\n", " ")
    return f"| {one.row} | {one.title} | {one.repeats} | {one.seed} | {one.seconds:.0f} | {one.word} | {measured} |"
