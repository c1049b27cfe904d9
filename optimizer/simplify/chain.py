"""Applying rewrites one after the other, each proved on real inputs before the next one starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, Feeds
from edge_runtime.inference.ort import OrtEngine
from optimizer.simplify import fix_constants, fold_graph, name_nodes, upgrade_opset

Rewrite: TypeAlias = Callable[[bytes], bytes]

_RELATIVE_TOLERANCE = 1e-3
_ABSOLUTE_SHARE = 1e-5  # of the largest output, for sums that cancel


@dataclass(frozen=True)
class Step:
    """What became of one rewrite: kept, or the reason why the model went on without it."""

    name: str
    kept: bool
    note: str


@dataclass(frozen=True)
class Simplified:
    """The rewritten model and the account of every rewrite."""

    data: bytes
    steps: tuple[Step, ...]


REWRITES: tuple[tuple[str, Rewrite], ...] = (
    ("list constants as constants only", fix_constants.apply),
    ("upgrade the operator set", upgrade_opset.apply),
    ("fold constants and batch norms, drop no-ops", fold_graph.apply),
    ("name every node", name_nodes.apply),
)


def simplify(data: bytes, feeds: Feeds, rewrites: Sequence[tuple[str, Rewrite]] = REWRITES) -> Simplified:
    """Apply each rewrite; keep it only if the model still loads and gives the same outputs on `feeds`."""
    reference = OrtEngine(data).run(feeds)
    steps = []
    for name, rewrite in rewrites:
        try:
            candidate = rewrite(data)
            problem = _difference(reference, OrtEngine(candidate).run(feeds))
        except BadInput as error:
            problem = error.message
        steps.append(Step(name, problem is None, problem or "outputs unchanged"))
        if problem is None:
            data = candidate
    return Simplified(data, tuple(steps))


def _difference(reference: dict[str, Array], actual: dict[str, Array]) -> str | None:
    """Return what differs in words, None where nothing does."""
    if set(reference) != set(actual):
        return "the outputs have other names"
    for name, expected in reference.items():
        if expected.shape != actual[name].shape or expected.dtype != actual[name].dtype:
            return f"output {name} has another shape or dtype"
        if not np.issubdtype(expected.dtype, np.floating):
            if not np.array_equal(expected, actual[name]):
                return f"output {name} differs"
            continue
        share = _ABSOLUTE_SHARE * float(np.abs(expected).max(initial=0.0))
        if not np.allclose(expected, actual[name], rtol=_RELATIVE_TOLERANCE, atol=share, equal_nan=True):
            return f"output {name} differs by up to {np.abs(expected - actual[name]).max():.3g}"
    return None
