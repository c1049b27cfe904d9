"""`python -m benchmarks.instructions`: instructions of one inference on a board's processor, form beside form.

The first file is what the others are compared with: give the float32 model, then int8 models or packages made of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from benchmarks.inputs import synthetic_feeds
from benchmarks.instructions.count import Counts, count
from benchmarks.instructions.record import changes, record
from benchmarks.remote import Form
from devices import profile
from devices.places.emulated import EmulatedPlace
from edge_runtime.errors import BadInput, BudgetNotMet, EdgeoptError
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from edge_runtime.package import archive

# Columns of the table: title, classes of count.c.
_COLUMNS = (
    ("float multiplies", ("fmla", "fpvec")),
    ("int8 multiplies", ("dot", "mmla", "imac", "ipairadd")),
    ("other SIMD", ("simd_other",)),
    ("loads, stores", ("vload", "vstore", "sload", "sstore")),
    ("scalar, branches", ("scalar", "branch")),
)


def main(arguments: list[str] | None = None) -> int:
    """Count, print, and compare or record as asked for; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except EdgeoptError as error:
        sys.stderr.write(f"error {error}\n")
        return error.exit_status
    return 0


def _run(options: argparse.Namespace) -> None:
    forms = [form for file in options.files for form in _forms(file)]
    place = EmulatedPlace(_device(options.target), progress=lambda line: _say(sys.stderr, line))
    feeds = synthetic_feeds(OrtEngine(forms[0].model, forms[0].settings))
    counted = count(place, forms, feeds, lambda line: _say(sys.stderr, line))
    _say(sys.stdout, table(place.device.title, counted))
    if options.record:
        record(options.record, options.target, counted)
    if options.check:
        found = changes(options.check, options.target, counted)
        for change in found:
            _say(sys.stdout, str(change))
        if worse := [change.name for change in found if change.verdict == "more"]:
            raise BudgetNotMet(
                "E-INSTRUCTIONS-MORE",
                f"more instructions than on file: {', '.join(worse)}",
                "find what changed; where it is meant, record it again with --record",
            )


def table(title: str, counted: Mapping[str, Counts]) -> str:
    """Return the counts in millions as Markdown; ratios are those to the first form."""
    reference = next(iter(counted.values())).total
    rows = [
        [name, f"{one.total / 1e6:.3f}", f"{reference / one.total:.2f}", *_millions(one)]
        for name, one in counted.items()
    ]
    heads = ["form", "instructions", "first / this", *(title for title, _ in _COLUMNS)]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        [
            f"Instructions of one inference, in millions, on {title}, one thread",
            "",
            *("| " + " | ".join(cells) + " |" for cells in lines),
            "",
            "predicted: a direction, never milliseconds",
        ]
    )


def _millions(counts: Counts) -> list[str]:
    return [f"{sum(counts.by_class.get(name, 0) for name in names) / 1e6:.3f}" for _, names in _COLUMNS]


def _forms(file: Path) -> list[Form]:
    """Return what a file holds: a model as it is, or a package's variants with the settings they are served with."""
    if file.suffix == ".onnx":
        try:
            return [Form(file.stem, file.read_bytes())]
        except OSError as error:
            fix = "check the path: ls *.onnx"
            raise BadInput("E-MODEL-NOT-FOUND", f"cannot read {file}: {error.strerror}", fix) from error
    package = archive.read(file)
    return [
        Form(
            f"{file.stem}.{variant.name}",
            package.members[variant.file],
            SessionSettings(variant.threads, config=variant.session),
            variant.engine,
        )
        for variant in package.manifest.variants
    ]


def _device(name: str) -> profile.Device:
    try:
        return profile.load(name)
    except KeyError as error:
        known = ", ".join(profile.names())
        raise BadInput("E-TARGET-UNKNOWN", f"there is no target {name}", f"use one of: {known}") from error


def _say(stream: TextIO, line: str) -> None:
    stream.write(f"{line}\n")
    stream.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("files", metavar="MODEL_OR_PACKAGE", nargs="+", type=Path, help=".onnx or .edgepkg")
    parser.add_argument("--target", default="raspberry-pi-4", help="a board that can be emulated (%(default)s)")
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare with the counts there, within 0.5 %%")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the counts there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
