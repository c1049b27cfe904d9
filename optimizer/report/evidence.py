"""What an optimization learned on its way and only a report shows: filled as far as it was found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from optimizer.data import Dataset
from optimizer.load import LoadedModel, count_operators
from optimizer.report.record import Data, Kernels, Lint, Options, Range, Repair, Rewrite, Stage
from optimizer.request import Request
from optimizer.simplify import Simplified


@dataclass(frozen=True)
class Evidence:
    """Facts for the report beyond those that choosing needs; nothing here changes the result.

    Attributes:
        opset: Operator set of the user's model.
        options: What was asked for.
        data: Fingerprints of the datasets.
        given: Operator type -> count of the user's model.
        simplified: The same after the rewrites.
        rewrites: What became of each.
        lint: What in the model costs speed or accuracy.
        repairs: Attempts to win accuracy back, in order.
        ranges: What calibration saw and what was chosen, see `optimizer.report.ranges.range_of`.
        ledger: Stages and their seconds, in order.
        kernels: Form name -> how it is executed, for forms other than the chosen one.
        losses: Layer name -> noise that its rounding alone puts on the outputs.
        gains: Layer name -> milliseconds that it gains in int8.
        outliers: Layer name -> largest magnitude of its input over a typical one.
        inputs: Layer name -> smallest and largest value of its input.
        reasons: Layer name -> why it has its precision, where more is known than the chosen model shows.
    """

    opset: int | None = None
    options: Options | None = None
    data: tuple[Data, ...] = ()
    given: Mapping[str, int] = field(default_factory=dict)
    simplified: Mapping[str, int] = field(default_factory=dict)
    rewrites: tuple[Rewrite, ...] = ()
    lint: tuple[Lint, ...] = ()
    repairs: tuple[Repair, ...] = ()
    ranges: tuple[Range, ...] = ()
    ledger: tuple[Stage, ...] = ()
    kernels: Mapping[str, Kernels] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    outliers: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


def evidence_of(
    model: LoadedModel, request: Request, simplified: Simplified, reference: float | None, method: str = "minmax"
) -> Evidence:
    """Return what is known of every optimization.

    Args:
        model: The user's model.
        request: What was asked for.
        simplified: The model after the rewrites.
        reference: The metric of the user's own model, None where nothing was judged.
        method: How ranges are read from what calibration sees.
    """
    graph = onnx.load_model_from_string(simplified.data).graph
    return Evidence(
        opset=model.opset,
        options=_options(request, reference, method),
        data=tuple(_data(request)),
        given=model.operators,
        simplified=count_operators(graph) if simplified.steps else {},
        rewrites=tuple(Rewrite(step.name, step.kept, step.note) for step in simplified.steps),
    )


def _options(request: Request, reference: float | None, method: str) -> Options:
    return Options(
        metric=request.metric.name,
        higher_is_better=request.metric.higher_is_better,
        budget=str(request.budget),
        allowed=None if reference is None else request.budget.allowed(request.metric, reference),
        certain=request.budget.certain,
        confidence=request.confidence,
        effort=request.effort,
        method=method if request.calibration is not None else "none, without calibration data",
        threads=request.threads,
    )


def _data(request: Request) -> list[Data]:
    given: dict[str, Dataset | None] = {"calibration": request.calibration, "evaluation": request.evaluation}
    return [
        # The file's name alone: a report travels, the folders of the machine that made it do not.
        Data(role, Path(data.source).name, len(data), data.sha256)
        for role, data in given.items()
        if data is not None
    ]
