"""A comparison of two models or packages, as lines of text and as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from edge_runtime.package.manifest import Accuracy, Latency
from optimizer import anatomy
from optimizer.compare import Comparison, OutputDifference, Side
from optimizer.report.explain import columns
from optimizer.report.markup import UNKNOWN, loss, number, size
from optimizer.report.speeds import in_words

_MOST_OPERATORS = 30


def lines(found: Comparison) -> Iterator[str]:
    """Yield what differs in lines, the two side by side."""
    sides = (found.first, found.second)
    yield from columns([("", "A", "B"), ("file", *(str(side.path) for side in sides)), *_facts(*sides)])
    yield ""
    yield from columns(_operator_rows(*sides))
    yield ""
    yield f"answers of B against A, on {found.inputs_from}:"
    for output in found.outputs:
        yield f"  {_in_words(output)}"
    for reason in found.not_compared:
        yield f"  not compared: {reason}"
    if any(side.variant and side.variant.latency for side in sides):
        yield "latency is as recorded in the packages, each in a run of its own; nothing was measured now"
    yield f"to measure both together: edgeopt benchmark {found.first.path} {found.second.path}"


def as_json(found: Comparison) -> dict[str, Any]:
    """Return everything as plain values; where B equals A the ratio in decibels is null and `identical` true."""
    return {
        "a": _side(found.first),
        "b": _side(found.second),
        "inputs_from": found.inputs_from,
        "outputs": [
            {
                "name": output.name,
                "samples": output.samples,
                "identical": output.largest == 0,
                "largest_difference": _finite(output.largest),
                "sqnr_db": _finite(output.sqnr_db),
                "argmax_agreement": output.agreement,
            }
            for output in found.outputs
        ],
        "not_compared": list(found.not_compared),
    }


def _facts(first: Side, second: Side) -> Iterator[tuple[str, ...]]:
    sides = (first, second)
    for label, tensors in (("input", [s.engine.inputs for s in sides]), ("output", [s.engine.outputs for s in sides])):
        for index in range(max(map(len, tensors))):
            a, b = (str(t[index]) if index < len(t) else UNKNOWN for t in tensors)
            yield label, a, b
    yield "size", size(first.size), f"{size(second.size)} ({second.size / first.size:.2f} x)"
    yield "parameters", *(f"{anatomy.parameters(side.model.graph):,}" for side in sides)
    yield "opset", *(_opsets(side) for side in sides)
    yield "precision", *(side.variant.precision if side.variant else "as in the model" for side in sides)
    yield "accuracy", *(_accuracy(side.variant.accuracy if side.variant else None) for side in sides)
    yield "latency", *(_latency(side.variant.latency if side.variant else None) for side in sides)


def _operator_rows(first: Side, second: Side) -> list[tuple[str, str, str, str]]:
    counts = [anatomy.operators(side.model.graph) for side in (first, second)]
    names = sorted({*counts[0], *counts[1]}, key=lambda name: (-max(c.get(name, 0) for c in counts), name))
    rows = [("operator", "A", "B", "")]
    for name in names[:_MOST_OPERATORS]:
        a, b = (count.get(name, 0) for count in counts)
        rows.append((name, str(a), str(b), "" if a == b else f"{b - a:+d}"))
    if len(names) > _MOST_OPERATORS:
        rows.append((f"and {len(names) - _MOST_OPERATORS} more (see --json)", "", "", ""))
    return rows


def _in_words(output: OutputDifference) -> str:
    head = f"{output.name}, {output.samples} samples"
    if output.largest == 0:
        return f"{head}: identical"
    if not math.isfinite(output.largest):
        return f"{head}: they differ in values that cannot be subtracted (NaN, infinity, text or flags)"
    parts = [f"largest difference {number(output.largest)}"]
    if output.sqnr_db is not None:
        parts.append(f"signal {output.sqnr_db:.1f} dB over the difference (SQNR)")
    if output.agreement is not None:
        parts.append(f"same largest score in {100 * output.agreement:.1f} %")
    return f"{head}: {', '.join(parts)}"


def _accuracy(found: Accuracy | None) -> str:
    if found is None:
        return "not recorded"
    return f"{found.metric} {number(found.value, 4)}, loss {loss(found.loss)}, {found.samples} samples"


def _latency(found: Latency | None) -> str:
    if found is None:
        return "not recorded"
    return in_words(found)


def _opsets(side: Side) -> str:
    return ", ".join(f"{domain} {version}" for domain, version in sorted(anatomy.opsets(side.model).items()))


def _side(side: Side) -> dict[str, Any]:
    variant = side.variant
    return {
        "path": str(side.path),
        "kind": "model" if variant is None else "package",
        "bytes": side.size,
        "inputs": msgspec.to_builtins(side.engine.inputs),
        "outputs": msgspec.to_builtins(side.engine.outputs),
        "opsets": anatomy.opsets(side.model),
        "operators": anatomy.operators(side.model.graph),
        "parameters": anatomy.parameters(side.model.graph),
        "precision": None if variant is None else variant.precision,
        "accuracy": None if variant is None else msgspec.to_builtins(variant.accuracy),
        "latency": None if variant is None else msgspec.to_builtins(variant.latency),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
