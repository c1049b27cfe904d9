"""From an outcome to its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from benchmarks.latency import Interval
from edge_runtime.package.manifest import Accuracy
from optimizer.candidates import Candidate, pareto
from optimizer.engine_audit import operators
from optimizer.for_target import Outcome
from optimizer.report.layers import layers_of
from optimizer.report.record import (
    MEMBER,
    SCHEMA,
    Form,
    ForTarget,
    Kernels,
    Model,
    Operators,
    Report,
    Score,
    Seen,
    Span,
    encode,
)
from optimizer.result import Result


def report_of(result: Result) -> Report:
    """Return the report of an optimization, as full as the result's evidence."""
    manifest, evidence = result.manifest, result.evidence
    warnings = [
        f"{fallen.layer} is quantized and runs in float: {fallen.reason}" for fallen in result.executed.fell_back
    ]
    return Report(
        schema=SCHEMA,
        model=Model(
            name=manifest.name,
            version=manifest.version,
            file=manifest.source.model,
            bytes=result.original_bytes,
            opset=evidence.opset,
            sha256=manifest.source.model_sha256,
        ),
        target=manifest.target,
        machine=result.machine,
        label=result.chosen.label,
        chosen_because=manifest.chosen_because,
        forms=_forms(result),
        options=evidence.options,
        data=evidence.data,
        lint=evidence.lint,
        rewrites=evidence.rewrites,
        operators=_operators(result),
        repairs=evidence.repairs,
        layers=layers_of(result.chosen.data, result.executed, evidence),
        ranges=evidence.ranges,
        warnings=(*warnings, *(_without_folders(warning, evidence.places) for warning in result.warnings)),
        tools=dict(manifest.source.tools),
        timings=evidence.timings,
        seen=tuple(Seen(variant.name, one) for variant in manifest.variants for one in variant.evidence),
        others=tuple(_for_target(outcome) for outcome in result.others),
    )


def _without_folders(text: str, places: Sequence[str]) -> str:
    """Return the text with files named without their folders: a report travels, this machine's folders do not."""
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, Path(place).name)
    return text


def with_report(result: Result) -> Result:
    """Return the result with its report among the package's members."""
    return replace(result, members={**result.members, MEMBER: encode(report_of(result))})


def _forms(result: Result) -> tuple[Form, ...]:
    kernels = {
        **result.evidence.kernels,
        result.chosen.name: Kernels(result.executed.integer, result.executed.float32, result.executed.conversions),
    }
    return _compared(result.candidates, result.chosen, kernels)


def _for_target(outcome: Outcome) -> ForTarget:
    forms = _compared(outcome.candidates, outcome.chosen, {})
    return ForTarget(outcome.target.name, outcome.machine, outcome.chosen.label, forms)


def _compared(candidates: Sequence[Candidate], chosen: Candidate, kernels: Mapping[str, Kernels]) -> tuple[Form, ...]:
    forms = [
        Form(
            name=candidate.name,
            precision=candidate.precision,
            bytes=len(candidate.data) or None,
            milliseconds=_span(candidate.milliseconds),
            speedup=_span(candidate.speedup),
            accuracy=_score(candidate.accuracy),
            rejected=candidate.rejected,
            chosen=candidate.name == chosen.name,
            kernels=kernels.get(candidate.name),
            label=candidate.label,
            quantity=candidate.quantity,
        )
        for candidate in candidates
    ]
    front = pareto(candidates)
    return tuple(msgspec.structs.replace(form, pareto=form.name in front) for form in forms)


def _span(interval: Interval | None) -> Span | None:
    return None if interval is None else Span(interval.value, interval.low, interval.high)


def _score(found: Accuracy | None) -> Score | None:
    return None if found is None else msgspec.convert(found, Score, from_attributes=True)


def _operators(result: Result) -> Operators:
    return Operators(dict(result.evidence.given), dict(result.evidence.simplified), operators(result.chosen))
