"""The repair ladder: what brings an int8 form inside its budget, cheapest first, each step kept only if it helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from optimizer.calibrate.ranges import METHODS
from optimizer.candidates import Candidate
from optimizer.correct import CORRECTIONS, in_order
from optimizer.placement import guarded, layers_of, renamed
from optimizer.repair import fewest_float_layers
from optimizer.workbench import Order, Workbench

_MOST_WIDE = 4  # layers with 16-bit activations; more than a few is no longer an int8 model
_CLEARLY = 0.95  # a step that leaves the metric as it was helps if it takes at least a twentieth of the noise


@dataclass(frozen=True)
class RepairStep:
    """One step of the ladder and what became of it.

    Attributes:
        name: What was tried, in words.
        kept: Whether the form went on with it.
        before: Loss of the metric before the step.
        after: Loss of the best form the step made.
        note: Which of several ways it was, or why it did not help.
    """

    name: str
    kept: bool
    before: float
    after: float
    note: str


@dataclass(frozen=True)
class Climbed:
    """Where the ladder ended: the last form, inside the budget or not, and every step."""

    order: Order
    form: Candidate
    steps: tuple[RepairStep, ...]


class Ladder:
    """Repairs forms of one base.

    Args:
        bench: Makes and judges the forms.
        costliest: Returns the layers by what their rounding costs, costliest first; asked only where needed.
    """

    def __init__(self, bench: Workbench, costliest: Callable[[], Sequence[str]]) -> None:
        self._bench, self._costliest = bench, costliest

    def climb(self, order: Order, form: Candidate) -> Climbed:
        """Repair a judged form until it meets the budget or nothing is left to try but giving layers back."""
        steps: list[RepairStep] = []
        for name, ways in self._rungs():
            if not form.rejected:
                break
            options = [option for option in ways(order) if option.recipe != order.recipe]
            judged = self._bench.judged(options)
            able = [(option, made) for option, made in zip(options, judged, strict=True) if made.accuracy]
            if not able:
                continue
            best, made = min(able, key=lambda one: _badness(one[1]))
            kept = _helps(form, made)
            note = best.name.removeprefix(order.name).lstrip("-") if kept else "no gain"
            steps.append(RepairStep(name, kept, form.loss, made.loss, note))
            if kept:
                order, form = best, made
        return Climbed(order, form, tuple(steps))

    def give_back(self, order: Order) -> tuple[Order, Candidate] | None:
        """Return the form with the fewest of the costliest layers in float that meets the budget, None without one."""
        found: dict[str, Order] = {}

        def without(layers: Sequence[str]) -> Candidate:
            kept = tuple(dict.fromkeys([*order.recipe.keep_float, *layers]))
            words = f"in float32 what lost most: {', '.join(layers)}"
            changed = renamed(order, f"without{len(layers)}", words, keep_float=kept)
            found[changed.name] = changed
            return self._bench.judged([changed])[0]

        remaining = [layer for layer in self._costliest() if layer not in order.recipe.keep_float]
        form = fewest_float_layers(remaining, without)
        return (found[form.name], form) if form else None

    def _rungs(self) -> Iterator[tuple[str, Callable[[Order], Sequence[Order]]]]:
        yield "another way to read the ranges", _other_ranges
        yield "last or first layer in float32", self._ends_in_float
        for name in CORRECTIONS:
            yield name, lambda order, name=name: [_corrected(order, name)]  # type: ignore[misc]
        yield "onnxruntime's guard, and weights of full range", _with_guard
        yield "16-bit activations for the costliest layers", self._wide

    def _ends_in_float(self, order: Order) -> list[Order]:
        inside = [name for name in layers_of(self._bench.base.data).names if name not in order.recipe.keep_float]
        if len(inside) < 3:
            return []
        ends = {"lastfloat": inside[-1:], "firstfloat": inside[:1], "endsfloat": [inside[0], inside[-1]]}
        kept = order.recipe.keep_float
        return [
            renamed(order, suffix, f"in float32: {', '.join(layers)}", keep_float=(*kept, *layers))
            for suffix, layers in ends.items()
        ]

    def _wide(self, order: Order) -> list[Order]:
        layers = [layer for layer in self._costliest() if layer not in order.recipe.keep_float]
        counts = [count for count in (1, 2, _MOST_WIDE) if count <= max(1, len(layers) // 2)]
        return [
            renamed(
                order,
                f"wide{count}",
                f"16-bit activations: {', '.join(layers[:count])}",
                wide=tuple(layers[:count]),
            )
            for count in counts
            if layers
        ]


def _other_ranges(order: Order) -> list[Order]:
    return [
        renamed(order, method, f"ranges by {method}", method=method)
        for method in METHODS
        if method != order.recipe.method
    ]


def _with_guard(order: Order) -> list[Order]:
    return [guarded(order)] if order.recipe.reduced else []


def _corrected(order: Order, name: str) -> Order:
    return renamed(order, name, name, corrections=in_order([*order.recipe.corrections, name]))


def _badness(form: Candidate) -> tuple[bool, float, float]:
    noise = form.noise if form.noise is not None else float("inf")
    return form.rejected is not None, form.loss, noise


def _helps(before: Candidate, after: Candidate) -> bool:
    """Tell whether a form is closer to the budget: it meets it, loses less, or as much with clearly less noise."""
    if not after.rejected or after.loss < before.loss:
        return True
    noises = (before.noise, after.noise)
    return after.loss == before.loss and None not in noises and noises[1] < _CLEARLY * noises[0]  # type: ignore[operator]
