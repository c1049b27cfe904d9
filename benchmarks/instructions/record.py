"""Instruction counts on file, and what has changed since: a regression that no noise hides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.instructions.count import Counts
from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.files import write_atomically

TOLERANCE = 0.005  # totals repeat within 0.1 % on models from 0.1 million instructions


@dataclass(frozen=True)
class Change:
    """One form's instructions then and now."""

    name: str
    before: int
    now: int

    @property
    def share(self) -> float:
        """Return the change as a share of what it was."""
        return self.now / self.before - 1

    @property
    def verdict(self) -> str:
        """Return ``equal`` within the tolerance, else ``more`` or ``fewer``."""
        if abs(self.share) <= TOLERANCE:
            return "equal"
        return "more" if self.share > 0 else "fewer"

    def __str__(self) -> str:
        return f"{self.name}: {self.now} instructions, {self.before} on file ({self.share:+.2%}): {self.verdict}"


def changes(file: Path, target: str, counted: Mapping[str, Counts]) -> list[Change]:
    """Compare counts with those on file.

    Raises:
        BadInput: E-INSTRUCTIONS-RECORD, the file cannot be read or does not hold one of the forms.
        EnvironmentFault: E-INSTRUCTIONS-VERSION, it was recorded with another onnxruntime, so it compares nothing.
    """
    on_file = _read(file)
    here = metadata.version("onnxruntime")
    if on_file["onnxruntime"] != here:
        raise EnvironmentFault(
            "E-INSTRUCTIONS-VERSION",
            f"{file} was recorded with onnxruntime {on_file['onnxruntime']}, and this is {here}",
            "record it again with --record, or install that version",
        )
    forms = on_file["targets"].get(target, {})
    if missing := [name for name in counted if name not in forms]:
        raise _unusable(file, f"holds no {', '.join(missing)} for {target}")
    return [Change(name, sum(forms[name].values()), counts.total) for name, counts in counted.items()]


def record(file: Path, target: str, counted: Mapping[str, Counts]) -> None:
    """Write counts to a file; what it holds of other forms and targets stays, where it is of the same onnxruntime.

    Raises:
        BadInput: E-INSTRUCTIONS-RECORD, there is a file, and it is no record.
        EnvironmentFault: E-FILE-WRITE.
    """
    here = metadata.version("onnxruntime")
    on_file = _read(file) if file.exists() else {}
    targets = dict(on_file["targets"]) if on_file.get("onnxruntime") == here else {}
    targets[target] = {**targets.get(target, {}), **{name: dict(one.by_class) for name, one in counted.items()}}
    content = {"onnxruntime": here, "targets": {name: dict(sorted(targets[name].items())) for name in sorted(targets)}}
    write_atomically(file, (json.dumps(content, indent=1) + "\n").encode())


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unusable(file, f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise _unusable(file, f"is not JSON: {error}") from error
    if not isinstance(content, dict) or not {"onnxruntime", "targets"} <= content.keys():
        raise _unusable(file, "is no record of instruction counts")
    return content


def _unusable(file: Path, why: str) -> BadInput:
    return BadInput("E-INSTRUCTIONS-RECORD", f"{file} {why}", f"record it: --record {file}")
