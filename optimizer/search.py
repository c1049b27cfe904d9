"""The static int8 forms of a model: where int8 pays, and what brings it inside the budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from devices.host import int8_dot_products_saturate
from edge_runtime.inference.engines import DEFAULT
from optimizer.candidates import Candidate
from optimizer.ladder import Ladder, RepairStep
from optimizer.placement import Placement, PlacementSearch, guarded
from optimizer.sensitivity import layer_losses
from optimizer.workbench import Order, Workbench

Effort: TypeAlias = Literal["quick", "default", "thorough"]
Progress: TypeAlias = Callable[[str, int, int], None]  # (stage in words, done, in all)
Costs: TypeAlias = Mapping[str, tuple[float, float]]  # layer name -> (microseconds in float32, in int8), predicted

_MOST_JUDGED = {"quick": 1, "default": 4, "thorough": 12}
_MOST_POSITIONS = {"quick": 0, "default": 10, "thorough": 1000}
_SENSITIVITY_SAMPLES = 64
_WORTH_REPAIRING = 1.05  # a form outside the budget is repaired if it is this much faster than the best inside it
_SMALLEST_GAIN = 0.1  # microseconds; what is predicted to gain less, or to lose, is given back first


@dataclass
class Found:
    """What a search found.

    Attributes:
        forms: Judged forms, the fully quantized one first.
        repairs: Steps of the repair ladder.
        losses: Layer name -> what its rounding alone costs, where that was asked.
    """

    forms: list[Candidate] = field(default_factory=list)
    repairs: list[RepairStep] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)


class StaticSearch:
    """Searches the static int8 forms of one base.

    Args:
        bench: Makes and judges them.
        placements: Finds where int8 pays.
        costs: Predicted costs of the layers.
        progress: Told about every stage.
    """

    def __init__(self, bench: Workbench, placements: PlacementSearch, costs: Costs, progress: Progress) -> None:
        self._bench, self._costs, self._progress = bench, costs, progress
        self._placements = placements
        self._ladder = Ladder(bench, self._costliest)
        self._found = Found()

    def run(self, effort: Effort) -> Found:
        """Return the fully quantized form, the fastest inside the budget, and what was tried before it."""
        full = self._placements.order(Placement(0, 0))
        (judged,) = self._judged([full])
        if not judged.data:
            return self._found
        ranked = [(full, judged)]
        if effort != "quick":
            timing = partial(self._progress, f"searching where int8 pays{self._of_base()}")
            ranked = self._placements.ranked(_MOST_POSITIONS[effort], timing)
        best = self._fastest_inside(ranked[: _MOST_JUDGED[effort]])
        self._repair(ranked[0], best)
        self._judged(self._guarded())
        return self._found

    def _guarded(self) -> list[Order]:
        """Return the other way to serve what is inside the budget, where timing can tell which of them is faster."""
        if not int8_dot_products_saturate() or self._bench.terms.engine_name != DEFAULT:
            return []
        inside = [one for one in self._found.forms if one.recipe and one.recipe.reduced and not one.rejected]
        return [guarded(Order(one.name, one.precision, one.recipe)) for one in inside if one.recipe]

    def _fastest_inside(self, ranked: Sequence[tuple[Order, Candidate]]) -> Candidate | None:
        """Judge forms, fastest first, up to the first that meets the budget; return it with its time."""
        for order, timed in ranked:
            (judged,) = self._judged([order])
            if not judged.rejected:
                return timed
        return None

    def _repair(self, fastest: tuple[Order, Candidate], inside: Candidate | None) -> None:
        """Bring the fastest form inside the budget, where that promises more than what is inside it already."""
        order, timed = fastest
        if inside is not None and timed.speed <= _WORTH_REPAIRING * inside.speed:
            return
        form = next(one for one in self._found.forms if one.name == order.name)
        climbed = self._ladder.climb(order, form)
        self._found.repairs += climbed.steps
        last = climbed.form
        if last.rejected:
            given_back = self._ladder.give_back(climbed.order)
            if given_back is not None:
                order_without, last_without = given_back
                note = order_without.precision.rpartition("; ")[2]
                self._found.repairs.append(
                    RepairStep("costliest layers back to float32", True, last.loss, last_without.loss, note)
                )
                last = last_without
        if last.name not in {one.name for one in self._found.forms}:
            self._found.forms.append(last)

    def _judged(self, orders: Sequence[Order]) -> list[Candidate]:
        known = {one.name: one for one in self._found.forms}
        new = [order for order in orders if order.name not in known]
        for form in self._bench.judged(new, partial(self._progress, f"judging forms{self._of_base()}")):
            known[form.name] = form
            self._found.forms.append(form)
        return [known[order.name] for order in orders]

    def _costliest(self) -> list[str]:
        """Return the layers by loss per microsecond gained, those that cost most for least first."""
        if not self._found.losses:
            terms, base = self._bench.terms, self._bench.base
            samples = terms.by.data.head(_SENSITIVITY_SAMPLES) if terms.by else {}
            stage = partial(self._progress, "finding the layers that lose most")
            self._found.losses = layer_losses(base, samples, self._bench.workers, stage)
        return sorted(self._found.losses, key=lambda layer: -self._found.losses[layer] / self._gain(layer))

    def _gain(self, layer: str) -> float:
        float32, int8 = self._costs.get(layer, (1.0, 0.0))
        return max(float32 - int8, _SMALLEST_GAIN)

    def _of_base(self) -> str:
        return f" ({self._bench.base.label})" if self._bench.base.label else ""
