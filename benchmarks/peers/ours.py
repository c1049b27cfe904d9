"""edgeopt's own row: its command line, as a user types it, and the variant out of the package."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import process
from benchmarks.peers.work import Work
from edge_runtime.inference.engines import DEFAULT
from edge_runtime.package import archive


@dataclass(frozen=True)
class Made:
    """What the command left: its variant's file, session entries, sentence and engine, and how the command ended."""

    ended: process.Ended
    session: dict[str, str]
    note: str
    engine: str


def quantize(work: Work, calibration: Path, output: Path, timeout: float) -> Made:
    """Run `edgeopt quantize` and write the package's first variant to `output`.

    Args:
        work: Model, evaluation samples, metric and budget.
        calibration: The samples that every tool gets.
        output: ONNX file to write; not written where the command fails.
        timeout: Seconds.
    """
    package = output.with_suffix(".edgepkg")
    command = [
        *[str(Path(sys.executable).with_name("edgeopt")), "quantize", str(work.model.resolve())],
        *["--calibration", str(calibration), "--evaluation", str(work.evaluation.resolve())],
        *["--metric", work.metric, "--max-drop", work.max_drop, "--output", str(package)],
    ]
    ended = process.run(command, output.parent, timeout)
    if ended.status != 0:
        return Made(ended, {}, "", DEFAULT)
    found = archive.read(package)
    variant = found.manifest.variants[0]
    output.write_bytes(found.members[variant.file])
    note = f"{variant.name}: {found.manifest.chosen_because}"
    return Made(ended, dict(variant.session), note, variant.engine)
