"""The rules that edgeopt's row is held to, each with what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.latency import SAME_MODEL_SPREAD, verdict
from benchmarks.peers.results import OURS, Table, median, ratios

Answer = Literal["yes", "within noise", "no", "cannot tell"]
NEAREST = 0.97


@dataclass(frozen=True)
class Verdict:
    """One rule, whether it holds, and why one may say so."""

    rule: str
    answer: Answer
    found: str


def verdicts(tables: Sequence[Table]) -> list[Verdict]:
    """Return all rules: three for every model, one over all models."""
    each = [rule(table) for table in tables for rule in (not_slower, near_the_fastest, inside_the_budget)]
    return [*each, ahead_somewhere(tables)]


def not_slower(table: Table) -> Verdict:
    """Ours is never slower than the float32 model it was made from."""
    rule = f"{table.model}: never below 1.0 x float32"
    ours = table.row(OURS)
    if ours is None or ours.speedup is None:
        return Verdict(rule, "no" if ours else "cannot tell", _absent(table))
    speedup = ours.speedup
    found = f"{speedup.value:.3f} [{speedup.low:.3f}, {speedup.high:.3f}]"
    if speedup.value >= 1.0:
        return Verdict(rule, "yes", found)
    if verdict(speedup) == "slower":
        return Verdict(rule, "no", found)
    return Verdict(
        rule, "within noise", f"{found}: two copies of one model differ by up to {100 * SAME_MODEL_SPREAD:.0f} %"
    )


def near_the_fastest(table: Table) -> Verdict:
    """Ours reaches 0.97 of the fastest form of another tool that is inside the budget, in the same processes."""
    rule = f"{table.model}: at least {NEAREST} x the fastest other tool inside the budget"
    ours, peer = table.row(OURS), table.fastest_peer()
    if ours is None or not ours.speedups:
        return Verdict(rule, "no" if ours else "cannot tell", _absent(table))
    if peer is None:
        return Verdict(rule, "yes", "no other tool is inside the budget")
    found = ratios(ours, peer)
    words = f"{median(found):.3f} x {peer.tool} ({_each(found)})"
    return Verdict(rule, "yes" if median(found) >= NEAREST else "no", words)


def inside_the_budget(table: Table) -> Verdict:
    """Ours keeps its metric inside the budget."""
    rule = f"{table.model}: {table.metric} {'at least' if table.higher_is_better else 'at most'} {table.worst:.4g}"
    ours = table.row(OURS)
    if ours is None or ours.metric is None:
        return Verdict(rule, "no" if ours else "cannot tell", _absent(table))
    return Verdict(rule, "yes" if table.inside(ours) else "no", f"{ours.metric:g}")


def ahead_somewhere(tables: Sequence[Table]) -> Verdict:
    """Ours is faster than every other tool inside the budget on one model at least, in every process."""
    rule = "on one model at least: above the fastest other tool inside the budget"
    ahead, behind = [], []
    for table in tables:
        ours, peer = table.row(OURS), table.fastest_peer()
        if ours is None or not ours.speedups or not table.inside(ours):
            continue
        if peer is None:
            ahead.append(f"{table.model} (no other tool is inside the budget)")
        elif min(found := ratios(ours, peer)) > 1.0:
            ahead.append(f"{table.model} ({median(found):.3f} x {peer.tool})")
        else:
            behind.append(f"{table.model} ({median(found):.3f} x {peer.tool})")
    if ahead:
        return Verdict(rule, "yes", ", ".join(ahead))
    return Verdict(rule, "no" if behind else "cannot tell", ", ".join(behind) or "ours has no form inside the budget")


def _absent(table: Table) -> str:
    ours = table.row(OURS)
    return "edgeopt was not run" if ours is None else f"edgeopt has no form: {ours.reason}"


def _each(values: Sequence[float]) -> str:
    return "processes: " + ", ".join(f"{value:.3f}" for value in values)
