"""Where int8 begins and ends: which layers stay float, found by measured milliseconds.

Only one contiguous int8 region pays: every boundary between float and int8 costs a quantize, a transpose and a reorder
of the whole tensor. Layers that gain least from int8 (large images, few channels) stand at the front, so the form
searched is a float head, an int8 body, and at most the last layer float again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import onnx

from benchmarks.latency import Plan
from edge_runtime.inference.engine import Feeds
from optimizer.candidates import Candidate, build, time_all
from optimizer.graph import float_weights
from optimizer.quantize import Ranges
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static

_PLAN = Plan(rounds=11)  # enough to rank forms; who is taken is timed again, longer, against float32
_HEADS_WITH_TAIL = 2  # how many of the fastest heads are tried with the last layer in float as well


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


def cut_positions(count: int, most: int) -> Sequence[int]:
    """Return how many of `count` layers to try as a float head: the first few one by one, then evenly spread."""
    positions = list(range(1, count))
    if len(positions) <= most:
        return positions
    near, rest = positions[:4], positions[4:]
    step = -(-len(rest) // (most - len(near)))
    return near + rest[::step]


class PlacementSearch:
    """Builds and times forms of the static scheme that differ in which layers stay float.

    Args:
        original: The user's own model, the reference of all times.
        data: The simplified float32 model, its nodes named.
        ranges: Activation ranges.
        sample: One sample.
    """

    def __init__(self, original: Candidate, data: bytes, ranges: Ranges, sample: Feeds) -> None:
        self._original, self._data, self._ranges, self._sample = original, data, ranges, sample
        self._layers = layers_of(data)

    def form(self, placement: Placement) -> Candidate:
        """Return one form, built but neither judged nor timed."""
        keep = placement.keep_float(self._layers)
        recipe = Recipe(Int8Static(), keep_float=keep)
        built = build(self._data, recipe, self._ranges, self._original.settings.threads, self._sample)
        suffix = placement.suffix(self._layers)
        kept = f"; operators kept in float32: {len(keep)}" if keep else ""
        return replace(built, name=f"{built.name}{suffix}", precision=f"{built.precision}{kept}")

    def ranked(self, most: int, progress: Callable[[int, int], None]) -> list[Candidate]:
        """Return the fully quantized form and those that ran faster than it, fastest first.

        Args:
            most: How many lengths of the float head to try.
            progress: Called with (rounds done, rounds in all).
        """
        count = len(self._layers)
        placements = [Placement(head, 0) for head in (0, *cut_positions(count, most))]
        timed = self._timed(placements, progress)
        fastest = sorted(timed, key=_speed, reverse=True)
        best = [placements[timed.index(form)] for form in fastest[:_HEADS_WITH_TAIL]]
        more = [Placement(one.head, 1) for one in best if one.head + 1 < count]
        timed += self._timed(more, progress)
        return [form for form in sorted(timed, key=_speed, reverse=True) if _speed(form) >= _speed(timed[0])]

    def _timed(self, placements: Sequence[Placement], progress: Callable[[int, int], None]) -> list[Candidate]:
        forms = [self.form(placement) for placement in placements]
        return time_all([self._original, *forms], self._sample, _PLAN, progress)[1:]


def _speed(form: Candidate) -> float:
    return form.speedup.value if form.speedup else 0.0
