"""Applying rewrites one after the other, each proved on real inputs before the next one starts."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Feeds
from optimizer.load import count_operators
from optimizer.simplify import (
    drop_no_ops,
    fix_constants,
    fold_graph,
    name_nodes,
    settle_shapes,
    shorten_names,
    upgrade_opset,
)
from optimizer.simplify.steps import Rewrite, Simplified, Step
from optimizer.simplify.verify import Check

REWRITES: tuple[tuple[str, Rewrite], ...] = (
    ("list constants as constants only", fix_constants.apply),
    ("upgrade the operator set", upgrade_opset.apply),
    ("settle sizes that do not depend on the batch", settle_shapes.apply),
    ("fold constants and batch norms", fold_graph.apply),
    ("drop what changes nothing", drop_no_ops.apply),
    ("name every node", name_nodes.apply),
    ("shorten long tensor names", shorten_names.apply),
)


def simplify(data: bytes, feeds: Feeds, rewrites: Sequence[tuple[str, Rewrite]] = REWRITES) -> Simplified:
    """Apply each rewrite; keep it only if the model still loads and gives the same outputs.

    Args:
        data: The model.
        feeds: Samples it accepts; where its batch is open, batches of other sizes made of them are checked as well.
        rewrites: Names and rewrites, in order.
    """
    check, given = Check.of(data, feeds), data
    steps = []
    for name, rewrite in rewrites:
        candidate, problem = attempt(data, rewrite, check)
        steps.append(Step(name, problem is None, problem or "outputs unchanged"))
        data = candidate
    return Simplified(data, tuple(steps), operators(given), operators(data))


def attempt(data: bytes, rewrite: Rewrite, check: Check) -> tuple[bytes, str | None]:
    """Return the rewritten model, or the model as it was and the reason why it stays so."""
    try:
        candidate = rewrite(data)
        problem = check.problem(candidate) if candidate != data else None
    except BadInput as error:
        return data, error.message
    return (data, problem) if problem else (candidate, None)


def operators(data: bytes) -> dict[str, int]:
    """Return how many nodes there are of every operator."""
    return count_operators(onnx.load_model_from_string(data).graph)
