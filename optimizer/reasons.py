"""Why a form was chosen, and why none was: the sentences of a result."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from edge_runtime.errors import BudgetNotMet
from optimizer.budget import nearest_budget
from optimizer.candidates import Candidate
from optimizer.report.speeds import direction
from optimizer.request import Request


def reason(chosen: Candidate, original: str, nothing: str | None, where: str) -> str:
    """Say why a form was chosen.

    Args:
        chosen: The form.
        original: Name of the user's own model.
        nothing: Why there was nothing to quantize, None where there was.
        where: The machine that speed-ups are of, as the end of a sentence.
    """
    if nothing is not None:
        return f"passed through unchanged: {nothing}"
    speedup = chosen.speedup.value if chosen.speedup else 1.0
    if chosen.name == original:
        return "the model as given is the best: no other form was both inside the budget and worth it"
    smaller_only = chosen.scheme is not None and chosen.scheme.smaller_only
    if chosen.quantity != "time":
        best = "smallest form inside the budget" if smaller_only else "best form inside the budget"
        return f"{best}; {direction(chosen.quantity, speedup)} {where}"
    if smaller_only:
        return f"smallest form that is not slower than float32 ({speedup:.2f} x)"
    return f"fastest form inside the budget: {speedup:.2f} x float32"


def int8_missing(candidates: Sequence[Candidate], nothing: str | None, request: Request) -> BudgetNotMet:
    """Return the error that no int8 form came through, with the option that would let one in."""
    reasons = "; ".join(f"{c.name}: {c.rejected}" for c in candidates if c.scheme is not None)
    nearest = _nearest(candidates, request)
    return BudgetNotMet(
        "E-BUDGET-INT8",
        f"no int8 form came through: {nothing or reasons or 'the target has no int8 kernels'}",
        f"{nearest or _other_than_allowing_more(candidates)}, or drop --require int8 to get float32",
    )


def _other_than_allowing_more(candidates: Sequence[Candidate]) -> str:
    timed = [candidate for candidate in candidates if candidate.scheme is not None and candidate.speedup is not None]
    if any(candidate.quantity != "time" for candidate in timed):
        return "the budget is met, int8 is just not predicted to gain anything: measure on the board, --target ssh://…"
    if timed:
        return "the budget is met, int8 is just not faster on this machine: measure on one with VNNI or an Arm board"
    return "allow more with --max-drop, give more calibration data"


def _nearest(candidates: Sequence[Candidate], request: Request) -> str | None:
    """Return the option that lets the int8 form in that lost least, None where the budget kept none out."""
    budget, metric = request.budget, request.metric
    lost = []
    for candidate in candidates:
        found = candidate.accuracy
        if candidate.scheme is None or found is None:
            continue
        loss = found.loss_high if budget.certain else found.loss
        if isfinite(loss) and not budget.is_met(metric, loss, found.reference):
            lost.append((loss, candidate.name, found))
    if not lost:
        return None
    _, name, least = min(lost, key=lambda entry: entry[:2])
    allowed = nearest_budget(metric, least, budget.relative, certain=budget.certain)
    return f"allow more: {name} loses least and needs --max-drop {allowed}; give more calibration data"
