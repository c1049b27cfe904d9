"""The static int8 forms of a model: which layers stay float, for speed first and for the budget if it must be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

from edge_runtime.inference.engine import Feeds
from optimizer.candidates import Candidate, build, judge
from optimizer.evaluate import Budget, Judge
from optimizer.placement import Placement, PlacementSearch
from optimizer.quantize import Ranges
from optimizer.recipe import Recipe
from optimizer.repair import fewest_float_layers
from optimizer.schemes import Int8Static
from optimizer.sensitivity import layer_losses

Effort: TypeAlias = Literal["quick", "default", "thorough"]
Progress: TypeAlias = Callable[[str, int, int], None]  # (stage in words, done, in all)

_MOST_JUDGED = {"quick": 1, "default": 4, "thorough": 12}
_MOST_POSITIONS = {"quick": 0, "default": 10, "thorough": 1000}
_SENSITIVITY_SAMPLES = 64


@dataclass(frozen=True)
class StaticSearch:
    """What the search works on.

    Attributes:
        original: The user's own model, the reference of all times.
        data: The simplified float32 model, its nodes named.
        ranges: Activation ranges.
        sample: One sample.
        by: Who judges accuracy.
        budget: What may be lost.
    """

    original: Candidate
    data: bytes
    ranges: Ranges
    sample: Feeds
    by: Judge
    budget: Budget

    def run(self, effort: Effort, progress: Progress) -> list[Candidate]:
        """Return judged forms: the fully quantized one, the fastest inside the budget, and what was tried before it."""
        placements = PlacementSearch(self.original, self.data, self.ranges, self.sample)
        full = self._judged(placements.form(Placement(0, 0)))
        if effort == "quick" or not full.data:
            return [full]
        timing = partial(progress, "searching where int8 pays")
        ranked = [form for form in placements.ranked(_MOST_POSITIONS[effort], timing) if form.name != full.name]
        faster = self._fastest_inside(ranked[: _MOST_JUDGED[effort]])
        if not full.rejected or any(not form.rejected for form in faster):
            return [full, *faster]
        repaired = self._repaired(progress)
        return [full, *faster, *([repaired] if repaired else [])]

    def _fastest_inside(self, ranked: Sequence[Candidate]) -> list[Candidate]:
        """Judge forms, fastest first, up to the first that meets the budget."""
        judged = []
        for form in ranked:
            judged.append(self._judged(form))
            if not judged[-1].rejected:
                break
        return judged

    def _repaired(self, progress: Progress) -> Candidate | None:
        samples = self.by.data.head(_SENSITIVITY_SAMPLES)
        losses = layer_losses(self.data, self.ranges, samples, partial(progress, "finding the layers that lose most"))
        return fewest_float_layers(list(losses), self._with_float)

    def _with_float(self, layers: Sequence[str]) -> Candidate:
        threads = self.original.settings.threads
        recipe = Recipe(Int8Static(), keep_float=tuple(layers))
        form = build(self.data, recipe, self.ranges, threads, self.sample)
        named = replace(
            form,
            name=f"{form.name}-without{len(layers)}",
            precision=f"{form.precision}; in float32 what lost most: {', '.join(layers)}",
        )
        return self._judged(named)

    def _judged(self, form: Candidate) -> Candidate:
        return judge(form, self.by, self.budget)
