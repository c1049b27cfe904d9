"""Makes forms from their recipes and has them judged; what was made once is not made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import msgspec
import onnx

from devices.host import int8_dot_products_saturate
from edge_runtime.errors import BadInput
from edge_runtime.inference import engines
from edge_runtime.inference.engine import Feeds
from edge_runtime.inference.ort import GUARD, SessionSettings
from edge_runtime.package.manifest import Accuracy
from optimizer import float16_parity
from optimizer.cache import Cache, Parts
from optimizer.calibrate.histogram import Histogram
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of
from optimizer.candidates import Candidate, judge
from optimizer.correct import CORRECTIONS
from optimizer.data import Dataset
from optimizer.evaluate import Budget, Judge
from optimizer.executor import Ticks, Workers, silent
from optimizer.float16_steps import too_coarse
from optimizer.quantize import quantize, tensors_to_observe
from optimizer.quantizers import float16
from optimizer.quantizers.fitted import fitted
from optimizer.recipe import Recipe
from optimizer.saturation import saturating_layers
from optimizer.schemes import Float16

_PARITY_SAMPLES = 32
_CORRECTION_SAMPLES = 128  # with 32, equalization was seen to do harm


@dataclass(frozen=True)
class Order:
    """A form to be made: what it is called, what it is in words, and how it is made."""

    name: str
    precision: str
    recipe: Recipe


@dataclass(frozen=True)
class Base:
    """A float32 model that forms are made from, and what was observed on it.

    Attributes:
        label: What its forms carry in their names; empty for the simplified model.
        data: The model, its nodes named.
        histograms: Tensor name -> what was observed; empty without calibration data.
        calibration: The samples it was observed on.
        protected: Node name -> why it has to stay float32.
        memory: Bytes of activations held at a time while observing, None for the default.
    """

    label: str
    data: bytes
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    calibration: Dataset | None = None
    protected: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None

    @cached_property
    def digest(self) -> str:
        """Return the digest of model and calibration samples."""
        samples = self.calibration.sha256 if self.calibration else ""
        return hashlib.sha256(self.data).hexdigest() + samples


@dataclass(frozen=True)
class Terms:
    """What a form is tried and judged with.

    Attributes:
        sample: One sample that every form must run.
        by: Who judges accuracy, None without data.
        budget: What may be lost.
        threads: Intra-op threads.
        engine_name: What executes the forms.
    """

    sample: Feeds
    by: Judge | None
    budget: Budget
    threads: int
    engine_name: str = engines.DEFAULT

    def parts(self) -> Parts:
        """Return what a judgement depends on."""
        if self.by is None:
            return self.means()
        return {**self.by.parts(), "budget": self.budget, **self.means()}

    def means(self) -> Parts:
        """Return what it depends on whether a form runs."""
        if self.engine_name == engines.DEFAULT:
            return {"threads": self.threads}
        return {"threads": self.threads, "engine": [self.engine_name, engines.version_of(self.engine_name)]}


class _Made(msgspec.Struct, frozen=True):
    """What the cache keeps of a form."""

    data: bytes
    accuracy: Accuracy | None
    noise: float | None
    rejected: str | None


class Workbench:
    """Makes and judges forms of one base.

    Args:
        base: What the forms are made from.
        terms: What they are tried and judged with.
        cache: What was made before.
        workers: Who makes and judges several at once.
        tools: Name -> version of what the result depends on.
    """

    def __init__(self, base: Base, terms: Terms, cache: Cache, workers: Workers, tools: Mapping[str, str]) -> None:
        self.base, self.terms = base, terms
        self.workers = workers
        self._cache, self._tools = cache, dict(tools)

    def built(self, orders: Sequence[Order], progress: Ticks = silent) -> list[Candidate]:
        """Return forms that load and run, not judged yet; one that cannot be made is rejected with the reason."""
        return self._made("built", build, orders, progress)

    def judged(self, orders: Sequence[Order], progress: Ticks = silent) -> list[Candidate]:
        """Return forms held against the budget."""
        return self._made("judged", build_and_judge, orders, progress)

    def _made(
        self,
        kind: str,
        make: Callable[[tuple[Base, Terms], Order], Candidate],
        orders: Sequence[Order],
        progress: Ticks,
    ) -> list[Candidate]:
        found = [self._found(kind, order) for order in orders]
        missing = [index for index, candidate in enumerate(found) if candidate is None]
        made = self.workers.map(make, (self.base, self.terms), [orders[index] for index in missing], progress)
        for index, candidate in zip(missing, made, strict=True):
            kept = _Made(candidate.data, candidate.accuracy, candidate.noise, candidate.rejected)
            self._cache.put(kind, self._parts(kind, orders[index]), msgspec.msgpack.encode(kept))
            found[index] = candidate
        return [candidate for candidate in found if candidate is not None]

    def _found(self, kind: str, order: Order) -> Candidate | None:
        entry = self._cache.get(kind, self._parts(kind, order))
        if entry is None:
            return None
        kept = msgspec.msgpack.decode(entry, type=_Made)
        known = _empty(self.base, order, self.terms)
        return replace(known, data=kept.data, accuracy=kept.accuracy, noise=kept.noise, rejected=kept.rejected)

    def _parts(self, kind: str, order: Order) -> Parts:
        scheme = type(order.recipe.scheme).__name__
        terms = self.terms.parts() if kind == "judged" else self.terms.means()
        return {"base": self.base.digest, "scheme": scheme, "recipe": order.recipe, "tools": self._tools, **terms}


def build(common: tuple[Base, Terms], order: Order) -> Candidate:
    """Make a form and make sure it loads and runs one sample."""
    base, terms = common
    empty = _empty(base, order, terms)
    try:
        candidate = replace(empty, data=fitted(form(base, order.recipe), terms.engine_name))
        candidate.run_one(terms.sample)
    except BadInput as error:
        return replace(empty, rejected=f"cannot be made: {error.message}")
    if candidate.data == base.data:
        return replace(empty, rejected="nothing in the model takes this form")
    unguarded = candidate.settings.config.get(GUARD) == "0" or (candidate.is_elsewhere and int8_dot_products_saturate())
    if unguarded and (left := saturating_layers(candidate.data)):
        layers = ", ".join(one.layer for one in left)
        return replace(empty, rejected=f"cannot be served without the guard: sums of {layers} may exceed 16 bits")
    if isinstance(order.recipe.scheme, Float16):
        samples = base.calibration.head(_PARITY_SAMPLES) if base.calibration else terms.sample
        return replace(candidate, rejected=float16_parity.fault(base.data, candidate.data, samples))
    return candidate


def build_and_judge(common: tuple[Base, Terms], order: Order) -> Candidate:
    """Make a form and hold it against the budget."""
    _, terms = common
    return judge(build(common, order), terms.by, terms.budget)


def form(base: Base, recipe: Recipe) -> bytes:
    """Return the model that a recipe makes of a base: weights corrected, ranges read, quantized."""
    data, histograms = base.data, base.histograms
    plain = replace(recipe, corrections=())
    for name in recipe.corrections:
        correction = CORRECTIONS[name]
        ranges = _ranges(data, histograms, recipe)
        samples = base.calibration.head(_CORRECTION_SAMPLES) if base.calibration else {}
        corrected = correction.apply(data, _Quantized(plain, ranges), samples)
        if correction.changes_ranges and corrected != data and base.calibration is not None:
            tensors = tensors_to_observe(corrected)
            histograms = observe(corrected, tensors, base.calibration, silent, base.memory)
        data = corrected
    if isinstance(recipe.scheme, Float16):
        histograms = _all_observed(data, histograms, base)
        plain = replace(plain, keep_float=(*plain.keep_float, *too_coarse(data, histograms)))
    return quantize(data, plain, _ranges(data, histograms, plain))


def _all_observed(data: bytes, histograms: Mapping[str, Histogram], base: Base) -> Mapping[str, Histogram]:
    """Return the histograms of every activation: any may be too large for float16, not only those int8 asks about."""
    unseen = [name for name in float16.tensors_to_observe(data) if name not in histograms]
    if base.calibration is None or not unseen:
        return histograms
    try:
        return {**histograms, **observe(data, unseen, base.calibration, silent, base.memory)}
    except BadInput as error:
        if error.code != "E-CALIBRATION-NOT-FINITE":
            raise
        return histograms  # a mask of infinities has no range, and float16 holds it; the parity check sees the rest


def _ranges(data: bytes, histograms: Mapping[str, Histogram], recipe: Recipe) -> dict[str, tuple[float, float]]:
    """Return the ranges that a recipe reads; with 16 bits there are steps enough for all that was seen."""
    ranges = ranges_of(histograms, recipe.method)
    if recipe.wide:
        nodes = [node for node in onnx.load_model_from_string(data).graph.node if node.name in recipe.wide]
        touched = {name for node in nodes for name in (*node.input, *node.output)} & histograms.keys()
        ranges |= ranges_of({name: histograms[name] for name in touched}, "minmax")
    return ranges


@dataclass(frozen=True)
class _Quantized:
    """The quantizer with everything but the model given."""

    recipe: Recipe
    ranges: Mapping[str, tuple[float, float]]

    def __call__(self, data: bytes) -> bytes:
        return quantize(data, self.recipe, self.ranges)


def _empty(base: Base, order: Order, terms: Terms) -> Candidate:
    is_default = terms.engine_name == engines.DEFAULT
    settings = SessionSettings(terms.threads, config=order.recipe.scheme.session if is_default else {})
    empty = Candidate(order.name, order.precision, b"", settings, order.recipe, base.label)
    return replace(empty, engine_name=terms.engine_name)
