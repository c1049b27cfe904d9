"""Where int8 begins and ends: which layers stay float, found by measured milliseconds where there are any.

Only one contiguous int8 region pays: every boundary between float and int8 costs a quantize, a transpose and a reorder
of the whole tensor. Layers that gain least from int8 (large images, few channels) stand at the front, so the form
searched is a float head, an int8 body, and at most the last layer float again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx

from benchmarks.latency import Plan
from optimizer.candidates import Candidate
from optimizer.graph import float_weights
from optimizer.recipe import Recipe
from optimizer.schemes import SAFE, Int8Static
from optimizer.stopwatch import Stopwatch
from optimizer.workbench import Base, Order, Workbench

PLAIN = Recipe(Int8Static())
_PLAN = Plan(rounds=11)  # enough to rank forms; who is taken is timed again, longer, against float32
_HEADS_WITH_TAIL = 2  # how many of the fastest heads are tried with the last layer in float as well
_FEW = 4  # heads compared where each comparison is dear
_NEAR = 4  # heads of up to this many layers are always tried: the model of costs is least sure about them


@dataclass(frozen=True)
class Layers:
    """A model's weighted layers in the order they run.

    Attributes:
        names: Node names of the layers.
        before: For each layer, the names of all nodes that run before it.
    """

    names: tuple[str, ...]
    before: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Placement:
    """How many layers stay float in front of the int8 region, and how many behind it."""

    head: int
    tail: int

    def keep_float(self, layers: Layers) -> tuple[str, ...]:
        """Return the names of the nodes that stay float."""
        front = layers.before[self.head] if self.head else ()
        return (*front, *(layers.names[-self.tail :] if self.tail else ()))

    def suffix(self, layers: Layers) -> str:
        """Return which layers are int8, for instance ``-3to9of10``; nothing where all are."""
        if not self.head and not self.tail:
            return ""
        return f"-{self.head + 1}to{len(layers) - self.tail}of{len(layers)}"


def layers_of(data: bytes) -> Layers:
    """Return the weighted layers of a model whose nodes are named."""
    graph = onnx.load_model_from_string(data).graph
    weighted = {node.name for node in float_weights(graph).values()}
    order = [node.name for node in graph.node]
    places = [place for place, name in enumerate(order) if name in weighted]
    return Layers(tuple(order[place] for place in places), tuple(tuple(order[:place]) for place in places))


def cut_positions(count: int, most: int, predicted: Sequence[float] = (), near: int = _NEAR) -> Sequence[int]:
    """Return how many of `count` layers to try as a float head.

    Args:
        count: Layers in all.
        most: How many positions to return at most, at least `near` where there are as many.
        predicted: Cost of the whole model for a head of 0, 1, … layers, where there is a model of costs: the cheapest
            heads are tried besides the first few. Without it the rest is spread evenly.
        near: Heads of up to this many layers are always tried.
    """
    positions = list(range(1, count))
    if len(positions) <= most:
        return positions
    first, rest = positions[:near], positions[near:]
    room = most - len(first)
    if len(predicted) == count:
        return sorted([*first, *sorted(rest, key=lambda head: predicted[head])[:room]])
    step = -(-len(rest) // room)
    return first + rest[::step]


def predicted_totals(layers: Layers, costs: Mapping[str, tuple[float, float]]) -> list[float]:
    """Return the predicted cost of the model for a float head of 0, 1, … layers; empty where a layer has no cost.

    Args:
        layers: The layers.
        costs: Layer name -> (cost in float32, cost in int8), in any one unit.
    """
    if not all(name in costs for name in layers.names):
        return []
    float32, int8 = zip(*(costs[name] for name in layers.names), strict=True)
    return [sum(float32[:head]) + sum(int8[head:]) for head in range(len(layers))]


class PlacementSearch:
    """Makes and times forms of the static scheme that differ in which layers stay float.

    Args:
        bench: Makes the forms.
        stopwatch: Times them.
        original: The user's own model, the reference of all times.
        costs: Predicted cost of each layer in float32 and int8, where known.
        recipe: How forms are made, but for what stays float.
    """

    def __init__(
        self,
        bench: Workbench,
        stopwatch: Stopwatch,
        original: Candidate,
        costs: Mapping[str, tuple[float, float]],
        recipe: Recipe = PLAIN,
    ) -> None:
        self._bench, self._stopwatch, self._original, self._recipe = bench, stopwatch, original, recipe
        self._layers = layers_of(bench.base.data)
        self._predicted = predicted_totals(self._layers, costs)

    def order(self, placement: Placement) -> Order:
        """Return how a form with this placement is made."""
        kept, suffix = placement.keep_float(self._layers), placement.suffix(self._layers)
        return static_order(self._bench.base, kept, suffix, self._recipe)

    def ranked(self, most: int, progress: Callable[[int, int], None]) -> list[tuple[Order, Candidate]]:
        """Return the fully quantized form and those that ran faster than it, fastest first, built and timed.

        Args:
            most: How many lengths of the float head to try.
            progress: Called with (rounds done, rounds in all).
        """
        count = len(self._layers)
        most, near = (most, _NEAR) if self._stopwatch.is_cheap else (min(most, _FEW), 0)
        placements = [Placement(head, 0) for head in (0, *cut_positions(count, most, self._predicted, near))]
        timed = self._timed(placements, progress)
        by_speed = sorted(range(len(timed)), key=lambda index: -timed[index][1].speed)
        best = [placements[index] for index in by_speed[:_HEADS_WITH_TAIL]]
        timed += self._timed([Placement(one.head, 1) for one in best if one.head + 1 < count], progress)
        full = timed[0][1].speed
        return sorted((one for one in timed if one[1].speed >= full), key=lambda one: -one[1].speed)

    def _timed(
        self, placements: Sequence[Placement], progress: Callable[[int, int], None]
    ) -> list[tuple[Order, Candidate]]:
        orders = [self.order(placement) for placement in placements]
        built = self._bench.built(orders)
        timed = self._stopwatch.timed([self._original, *built], _PLAN, progress)[1:]
        return list(zip(orders, timed, strict=True))


def static_recipe(scheme: Int8Static, method: str, data: bytes) -> Recipe:
    """Return how the static forms of a model are made, but for what stays float."""
    return Recipe(scheme, method, reduced=layers_of(data).names if scheme == SAFE else ())


def static_order(base: Base, keep_float: Sequence[str], suffix: str, recipe: Recipe = PLAIN) -> Order:
    """Return how the static int8 form of a base is made whose given nodes stay float32, the protected ones besides."""
    scheme = recipe.scheme
    kept = tuple(dict.fromkeys([*keep_float, *base.protected]))
    words = f"; operators kept in float32: {len(kept)}" if kept else ""
    label = f"-{base.label}" if base.label else ""
    made = replace(recipe, keep_float=kept)
    return Order(f"{scheme.name}{label}{suffix}", f"{scheme.precision}{words}", made)


def guarded(order: Order) -> Order:
    """Return the same form with weights of full range, for which x86 without VNNI needs onnxruntime's guard."""
    safe, plain = order.recipe.scheme, PLAIN.scheme
    return Order(
        order.name.replace(safe.name, plain.name, 1),
        order.precision.replace(safe.precision, plain.precision, 1),
        replace(order.recipe, scheme=plain, reduced=()),
    )


def renamed(order: Order, suffix: str, words: str, **changes: object) -> Order:
    """Return an order with a changed recipe, and a name and words that say so."""
    recipe = replace(order.recipe, **changes)  # type: ignore[arg-type]
    return Order(f"{order.name}-{suffix}", f"{order.precision}; {words}", recipe)
