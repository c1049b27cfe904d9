"""Every form of a model that is worth timing: float32 rewritten, and what the schemes make of it, judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.latency import Interval
from edge_runtime.inference.engine import Feeds
from edge_runtime.inference.engines import DEFAULT
from optimizer.account import Account
from optimizer.bases import observed
from optimizer.cache import Cache
from optimizer.candidates import Candidate, judge
from optimizer.cost import layer_costs
from optimizer.engine_forms import EngineForms, only, wanted_engines
from optimizer.executor import Workers
from optimizer.placement import PlacementSearch, static_recipe
from optimizer.recipe import Recipe
from optimizer.request import Request
from optimizer.schemes import Int8Static, Scheme
from optimizer.search import Found, Progress, StaticSearch
from optimizer.simplify import Simplified, simplify
from optimizer.simplify.fresh_sessions import FreshSessions
from optimizer.simplify.speed import SMALLEST_SPEEDUP, speed_up
from optimizer.stopwatch import Stopwatch
from optimizer.tools import conditions
from optimizer.workbench import Base, Order, Terms, Workbench

_REWRITTEN = "rewritten"


@dataclass(frozen=True)
class Means:
    """What forms are made and timed with; `kernels` is what the machine timed multiplies 8-bit numbers with."""

    stopwatch: Stopwatch
    kernels: str
    cache: Cache
    workers: Workers
    progress: Progress


@dataclass(frozen=True)
class Shop:
    """Makes the forms of one model.

    Attributes:
        own: The user's own model, judged.
        terms: What forms are tried and judged with.
        request: What the user asked for.
        means: What they are made and timed with.
    """

    own: Candidate
    terms: Terms
    request: Request
    means: Means

    def forms(self, schemes: Sequence[Scheme], feeds: Feeds) -> tuple[list[Candidate], Account]:
        """Return judged forms, in every engine that is asked for, and how they came about.

        Args:
            schemes: Those that the target allows.
            feeds: A few samples whose outputs no rewrite may change.
        """
        wanted, notes = wanted_engines(self.request)
        forms, account = self._forms(schemes, feeds)
        more: list[Candidate] = []
        for name in wanted:
            more += EngineForms(self, name).of([self.own, *forms], account)
        return [*only(self.request.engine, forms), *more], replace(account, notes=notes)

    def _forms(self, schemes: Sequence[Scheme], feeds: Feeds) -> tuple[list[Candidate], Account]:
        """Return the forms in onnxruntime."""
        simplified = simplify(self.own.data, feeds)
        unit = self.means.stopwatch.unit
        faster = speed_up(simplified.data, feeds, self._speedup, self.means.progress, unit=unit)
        account = Account(rewrites=(*simplified.steps, *faster.steps), simplified=simplified.data)
        forms = [self._float32("fp32-simplified", simplified)] if simplified.data != self.own.data else []
        forms += [self._float32("fp32-rewritten", faster)] if faster.data != simplified.data else []
        bases = [self._base("", simplified.data)]
        if faster.data != simplified.data:
            bases.append(self._base(_REWRITTEN, faster.data))
        for base in bases:
            forms += self.bench(base).judged(list(_orders(base, schemes)))
        static = next((scheme for scheme in schemes if isinstance(scheme, Int8Static)), None)
        if static is None or self.terms.by is None:
            return forms, account
        return self._searched(static, bases, forms, account)

    def _searched(
        self, static: Int8Static, bases: Sequence[Base], forms: list[Candidate], account: Account
    ) -> tuple[list[Candidate], Account]:
        """Add the static forms of every base, and what was found out about its layers."""
        shapes = {name: array.shape for name, array in self.terms.sample.items()}
        for base in bases:
            costs = layer_costs(base.data, shapes, self.means.kernels)
            found = self._search(base, costs, static)
            forms = [*forms, *found.forms]
            account = replace(
                account,
                bases={**account.bases, base.label: base},
                repairs=(*account.repairs, *found.repairs),
                losses={**account.losses, **found.losses},
                costs={**account.costs, **costs},
            )
        return forms, account

    def _search(self, base: Base, costs: dict[str, tuple[float, float]], static: Int8Static) -> Found:
        bench = self.bench(base)
        recipe = static_recipe(static, self.request.method, base.data)
        placements = PlacementSearch(bench, self.means.stopwatch, self.own, costs, recipe)
        return StaticSearch(bench, placements, costs, self.means.progress).run(self.request.effort)

    def _base(self, label: str, data: bytes) -> Base:
        base = Base(label, data, calibration=self.request.calibration, memory=self.request.memory)
        return observed(base, self.means.cache, partial(self.means.progress, "observing activations"))

    def bench(self, base: Base, engine: str = DEFAULT) -> Workbench:
        """Return who makes the forms of a base, and judges them in an engine."""
        terms = replace(self.terms, engine_name=engine)
        return Workbench(base, terms, self.means.cache, self.means.workers, conditions())

    def _speedup(self, before: bytes, after: bytes) -> Interval:
        old, new = (replace(self.own, name=name, data=one) for name, one in (("before", before), ("after", after)))
        timer = FreshSessions(self.terms.sample, SMALLEST_SPEEDUP, self.own.settings)
        return self.means.stopwatch.speedup(old, new, timer.speedup)

    def _float32(self, name: str, simplified: Simplified) -> Candidate:
        kept = ", ".join(step.name for step in simplified.steps if step.kept)
        form = replace(self.own, name=name, precision=f"as given, {kept}", data=simplified.data, accuracy=None)
        return judge(form, self.terms.by, self.terms.budget)


def _orders(base: Base, schemes: Sequence[Scheme]) -> Iterator[Order]:
    """Yield the forms of a base that need no search; one that gains size only gains nothing from a faster base."""
    for scheme in schemes:
        if not isinstance(scheme, Int8Static) and not (scheme.smaller_only and base.label):
            label = f"-{base.label}" if base.label else ""
            yield Order(f"{scheme.name}{label}", scheme.precision, Recipe(scheme))
