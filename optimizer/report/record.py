"""Everything a report shows, in one value; member `report.json` of a package, from which text and page are made.

Fields that nobody filled are empty or None, and numbers that are not finite are written as null: a report says less
then, it never fails. Unknown fields are ignored when reading, other than in the manifest: a report is read by people
and changes nothing that a device does, so an older edgeopt shows what it knows of a newer report. `schema` counts up
only when a known field changes its meaning.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from edge_runtime.errors import BadInput
from edge_runtime.package.archive import Package
from edge_runtime.package.manifest import Evidence, Label, Quantity
from optimizer.stopwatch import Timed

MEMBER = "report.json"
SCHEMA = 1
BINS = 64
_EXACT = 2**53
_DIGITS = 7  # significant digits of a float32; more would only make the file larger

Number: TypeAlias = float | None  # None where unknown or not finite
Precision: TypeAlias = Literal["int8", "int16", "float16", "float32"]


class Span(msgspec.Struct, frozen=True):
    """A number with its 95 % interval."""

    value: Number
    low: Number
    high: Number


class Model(msgspec.Struct, frozen=True):
    """The user's model.

    Attributes:
        name: As in every published message.
        version: Release number.
        file: Name of the file it came from.
        bytes: Size on disk, external data included.
        opset: Version of the default operator set, None where unknown.
        sha256: Digest of the self-contained model.
    """

    name: str
    version: int
    file: str
    bytes: int
    opset: int | None
    sha256: str


class Options(msgspec.Struct, frozen=True):
    """What was asked for.

    Attributes:
        metric: Name of the metric.
        higher_is_better: Its direction.
        budget: In the user's words, such as ``1pt``.
        allowed: The largest loss allowed, in the metric's own numbers; None where nothing was judged.
        certain: Whether the whole interval of the loss had to stay inside.
        confidence: Coverage of the intervals of metric and loss.
        effort: How long was searched.
        method: How ranges were read from what was seen in calibration.
        threads: Intra-op threads.
    """

    metric: str
    higher_is_better: bool
    budget: str
    allowed: Number
    certain: bool
    confidence: float
    effort: str
    method: str
    threads: int


class Data(msgspec.Struct, frozen=True):
    """Fingerprint of a dataset: its role (``calibration``, ``evaluation``), source, number of samples and digest."""

    role: str
    source: str
    samples: int
    sha256: str


class Lint(msgspec.Struct, frozen=True):
    """Something in the model that costs speed or accuracy: a stable code, what was found, and what helps."""

    code: str
    what: str
    fix: str


class Rewrite(msgspec.Struct, frozen=True):
    """An exact rewrite of the graph: kept or not, what was seen, and its speed-up where it was timed alone."""

    name: str
    kept: bool
    note: str
    speedup: Span | None = None


class Operators(msgspec.Struct, frozen=True):
    """Operator type -> count: as given, simplified, and as the runtime executes the chosen form on this machine."""

    given: dict[str, int] = {}
    simplified: dict[str, int] = {}
    executed: dict[str, int] = {}


class Kernels(msgspec.Struct, frozen=True):
    """Multiplying operators on integer and on float kernels, and conversions between the two."""

    integer: int
    floating: int
    conversions: int


class Score(msgspec.Struct, frozen=True):
    """A form's quality in the metric; the fields are those of the manifest's accuracy."""

    metric: str
    value: Number
    low: Number
    high: Number
    reference: Number
    loss: Number
    loss_low: Number
    loss_high: Number
    samples: int
    confidence: float


class Form(msgspec.Struct, frozen=True):
    """A form of the model that was tried.

    Attributes:
        name: Such as ``cpu-u8s8``.
        precision: In words.
        bytes: Size, None where it could not be built.
        milliseconds: Median time of one inference at batch 1, None where it was not timed.
        speedup: Against the user's own model in the same interleaved run.
        accuracy: None where it was not judged.
        rejected: Why it is out, None where it was in.
        pareto: Whether no other form is both faster and at least as accurate.
        chosen: Whether it is the one in the package.
        kernels: How it is executed, None where nobody looked.
        label: How its speed-up came about.
        quantity: What that is the ratio of.
    """

    name: str
    precision: str
    bytes: int | None = None
    milliseconds: Span | None = None
    speedup: Span | None = None
    accuracy: Score | None = None
    rejected: str | None = None
    pareto: bool = False
    chosen: bool = False
    kernels: Kernels | None = None
    label: Label = "measured"
    quantity: Quantity = "time"


class ForTarget(msgspec.Struct, frozen=True):
    """What came out for a further target: `machine` is what speed-ups are of, `label` how they came about."""

    target: str
    machine: str
    label: Label
    forms: tuple[Form, ...]


class Seen(msgspec.Struct, frozen=True):
    """A variant of the package and what it was seen to compute at one place."""

    variant: str
    evidence: Evidence


class Repair(msgspec.Struct, frozen=True):
    """One attempt to win accuracy back: what was done, whether it stayed, the loss before and after it."""

    step: str
    kept: bool
    before: Number = None
    after: Number = None
    note: str = ""


class Layer(msgspec.Struct, frozen=True):
    """One weighted layer in the chosen form.

    Attributes:
        name: Node name.
        operator: ONNX operator type.
        precision: What its arithmetic works on.
        reason: Why, in words.
        loss: Noise that its rounding alone puts on the outputs, as a share of their variance.
        milliseconds: Time that it gains (negative: costs) in int8 against float32, predicted from shapes.
        outlier_ratio: Largest magnitude of its input over a typical one.
        low: Smallest value of its input seen in calibration.
        high: Largest one.
    """

    name: str
    operator: str
    precision: Precision
    reason: str
    loss: Number = None
    milliseconds: Number = None
    outlier_ratio: Number = None
    low: Number = None
    high: Number = None


class Range(msgspec.Struct, frozen=True):
    """What calibration saw of one tensor, and the range chosen from it.

    Attributes:
        tensor: Its name.
        low: Smallest value seen.
        high: Largest one.
        counts: Values per bin, 64 bins of `width` from `edge_low` on.
        edge_low: Lower edge of the first bin.
        width: Of each bin.
        chosen_low: Lower end of the range that int8 covers.
        chosen_high: Upper end of it.
        method: How the range was read from the histogram.
    """

    tensor: str
    low: Number
    high: Number
    counts: tuple[int, ...]
    edge_low: Number
    width: Number
    chosen_low: Number
    chosen_high: Number
    method: str


class Report(msgspec.Struct, frozen=True):
    """The whole account of one optimization; `label` says how all speeds of its first target came about."""

    schema: int
    model: Model
    target: str
    machine: str
    label: Label
    chosen_because: str
    forms: tuple[Form, ...]
    options: Options | None = None
    data: tuple[Data, ...] = ()
    lint: tuple[Lint, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    operators: Operators = Operators()
    repairs: tuple[Repair, ...] = ()
    layers: tuple[Layer, ...] = ()
    ranges: tuple[Range, ...] = ()
    warnings: tuple[str, ...] = ()
    tools: dict[str, str] = {}
    timings: tuple[Timed, ...] = ()
    seen: tuple[Seen, ...] = ()
    others: tuple[ForTarget, ...] = ()

    @property
    def chosen(self) -> Form | None:
        """Return the form in the package, None where the report names none."""
        return next((form for form in self.forms if form.chosen), None)

    @property
    def label_of_model(self) -> str:
        """Return name and version as published in messages."""
        return f"{self.model.name} v{self.model.version}"


def encode(report: Report) -> bytes:
    """Return the report as JSON; equal reports give equal bytes: keys sorted, floats rounded to 7 digits."""
    plain = _stable(msgspec.to_builtins(report))
    return msgspec.json.encode(plain, order="sorted") + b"\n"


def decode(data: bytes, source: str = MEMBER) -> Report:
    """Read a report.

    Args:
        data: What `encode` gave, of this or another version of edgeopt.
        source: Names it in errors.

    Raises:
        BadInput: E-REPORT-DAMAGED, it is no report; E-REPORT-VERSION, this version does not understand it.
    """
    try:
        schema = msgspec.json.decode(data, type=_Header).schema
        if schema > SCHEMA:
            raise BadInput(
                "E-REPORT-VERSION",
                f"{source} has report schema {schema}; this edgeopt reads up to {SCHEMA}",
                "upgrade edgeopt: pip install -U edgeopt",
            )
        return msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadInput(
            "E-REPORT-DAMAGED", f"{source} is no report: {error}", "build the package again with `edgeopt quantize`"
        ) from error


def of_package(path: Path, package: Package) -> Report:
    """Return the report inside a package; `path` names it in errors.

    Raises:
        BadInput: E-PACKAGE-NO-REPORT, the package was built before reports were kept; the errors of `decode`.
    """
    data = package.members.get(MEMBER)
    if data is None:
        raise BadInput(
            "E-PACKAGE-NO-REPORT",
            f"{path} holds no {MEMBER}: it was built by a version that kept none",
            "build it again with `edgeopt quantize`; `edgeopt inspect` shows what the package itself says",
        )
    return decode(data, f"{path}, {MEMBER}")


class _Header(msgspec.Struct):
    """The one field that must be readable in every schema."""

    schema: int


def _stable(value: Any) -> Any:
    """Return plain values with floats rounded and those that JSON cannot hold as None."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        rounded = float(f"{value:.{_DIGITS}g}")
        # 1 and 1.0 are equal, so they are written alike; beyond 2**53 a float is no exact count.
        return int(rounded) if rounded.is_integer() and abs(rounded) < _EXACT else rounded
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_stable(item) for item in value]
    return value
