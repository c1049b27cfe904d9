"""What an optimization learned on its way and only a report shows: filled as far as it was found out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from benchmarks.latency import Interval
from optimizer.account import Account
from optimizer.calibrate.histogram import Histogram
from optimizer.calibrate.ranges import chosen_method, outlier_ratio, ranges_of
from optimizer.candidates import Candidate
from optimizer.data import Dataset
from optimizer.graph import WEIGHTED_OPS
from optimizer.load import LoadedModel, count_operators
from optimizer.report.ranges import range_of
from optimizer.report.record import Data, Kernels, Lint, Options, Range, Repair, Rewrite, Span
from optimizer.request import Request
from optimizer.stopwatch import Timed
from optimizer.workbench import Base


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
        timings: Every comparison the result rests on.
        kernels: Form name -> how it is executed, for forms other than the chosen one.
        losses: Layer name -> noise that its rounding alone puts on the outputs.
        gains: Layer name -> milliseconds that it gains in int8.
        outliers: Layer name -> largest magnitude of its input over a typical one.
        inputs: Layer name -> smallest and largest value of its input.
        reasons: Layer name -> why it has its precision, where more is known than the chosen model shows.
        places: Files of this machine that warnings may name.
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
    timings: tuple[Timed, ...] = ()
    kernels: Mapping[str, Kernels] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    outliers: Mapping[str, float] = field(default_factory=dict)
    inputs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    places: tuple[str, ...] = ()


def evidence_of(
    model: LoadedModel, request: Request, account: Account, chosen: Candidate, reference: float | None
) -> Evidence:
    """Return what is known of an optimization.

    Args:
        model: The user's model.
        request: What was asked for.
        account: How the result came about.
        chosen: The form inside the package.
        reference: The metric of the user's own model, None where nothing was judged.
    """
    graph = onnx.load_model_from_string(account.simplified).graph
    base = next((one for one in account.bases.values() if chosen.base == one.label), None)
    return Evidence(
        opset=model.opset,
        options=_options(request, reference, chosen),
        data=tuple(_data(request)),
        given=model.operators,
        simplified=count_operators(graph) if account.rewrites else {},
        rewrites=tuple(Rewrite(step.name, step.kept, step.note, _span(step.speedup)) for step in account.rewrites),
        lint=tuple(Lint(found.code, found.what, found.fix) for found in account.findings),
        repairs=tuple(Repair(one.name, one.kept, one.before, one.after, one.note) for one in account.repairs),
        ranges=tuple(_ranges(base, chosen)) if base else (),
        timings=account.timings,
        losses=account.losses,
        gains=_gains(account) if chosen.quantity == "time" else {},  # of another machine no milliseconds are shown
        outliers=_outliers(base) if base else {},
        inputs=_inputs(base) if base else {},
        reasons=_reasons(base, chosen) if base else {},
        places=(str(model.path), *(data.source for data in (request.calibration, request.evaluation) if data)),
    )


def _gains(account: Account) -> dict[str, float]:
    return {name: (float32 - int8) / 1000 for name, (float32, int8) in account.costs.items()}


def _ranges(base: Base, chosen: Candidate) -> Iterator[Range]:
    """Yield what calibration saw and what the chosen form took from it, for every tensor it quantizes."""
    if chosen.recipe is None:
        return
    quantized = {
        node.input[0]
        for node in onnx.load_model_from_string(chosen.data).graph.node
        if node.op_type == "QuantizeLinear"
    }
    method = chosen.recipe.method
    for tensor, histogram in base.histograms.items():
        if tensor in quantized:
            low_high = ranges_of({tensor: histogram}, method)[tensor]
            used = chosen_method(histogram) if method == "auto" else method
            yield range_of(tensor, histogram, low_high, used)


def _layer_inputs(base: Base) -> Iterator[tuple[str, Histogram]]:
    for node in onnx.load_model_from_string(base.data).graph.node:
        if node.op_type in WEIGHTED_OPS and node.input[0] in base.histograms:
            yield node.name, base.histograms[node.input[0]]


def _inputs(base: Base) -> dict[str, tuple[float, float]]:
    return {name: (histogram.low, histogram.high) for name, histogram in _layer_inputs(base)}


def _outliers(base: Base) -> dict[str, float]:
    """Return layer name -> largest magnitude of its input over the one that 99 % of the values stay below."""
    return {name: ratio for name, histogram in _layer_inputs(base) if (ratio := outlier_ratio(histogram)) is not None}


def _reasons(base: Base, chosen: Candidate) -> dict[str, str]:
    kept = chosen.recipe.keep_float if chosen.recipe else ()
    placed = "it stays float32 in the placement that was fastest inside the budget"
    return {name: base.protected.get(name, placed) for name in kept}


def _span(speedup: Interval | None) -> Span | None:
    return None if speedup is None else Span(speedup.value, speedup.low, speedup.high)


def _options(request: Request, reference: float | None, chosen: Candidate) -> Options:
    method = chosen.recipe.method if chosen.recipe else request.method
    return Options(
        metric=request.metric.name,
        higher_is_better=request.metric.higher_is_better,
        budget=str(request.budget),
        allowed=None if reference is None else request.budget.allowed(request.metric, reference),
        certain=request.budget.certain,
        confidence=request.confidence,
        effort=request.effort,
        method=method if request.calibration is not None else "none, without calibration data",
        threads=chosen.settings.threads,
    )


def _data(request: Request) -> list[Data]:
    given: dict[str, Dataset | None] = {"calibration": request.calibration, "evaluation": request.evaluation}
    return [
        # The file's name alone: a report travels, the folders of the machine that made it do not.
        Data(role, Path(data.source).name, len(data), data.sha256)
        for role, data in given.items()
        if data is not None
    ]
