"""Forms in other engines than onnxruntime: the same models and recipes, timed there only after the answers agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from devices.profile import LOCAL
from edge_runtime.errors import BadInput, WrongUsage
from edge_runtime.inference import engines
from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import SampleFeeds
from edge_runtime.inference.engines import DEFAULT, ENGINES
from optimizer.account import Account
from optimizer.agreement import agreement_of
from optimizer.candidates import Candidate, judge
from optimizer.placement import Placement, PlacementSearch, renamed, static_recipe
from optimizer.request import Request
from optimizer.schemes import Int8Static
from optimizer.search import StaticSearch
from optimizer.workbench import Base, Order

if TYPE_CHECKING:
    from optimizer.forms import Shop

GOLDEN_SAMPLES = 16
# Decibels below which an engine computes something else. Float32 was measured at 87 and more. An int8 step that rounds
# the other way grows through a network: 28 and more where all was right, 10 and less where sums saturated.
_LEAST_OF_FLOAT = 60.0
_LEAST_OF_INT8 = 20.0


def wanted_engines(request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the engines to try besides onnxruntime, and one sentence for each that could be and is not tried.

    Raises:
        BadInput: E-ENGINE-UNKNOWN.
        EnvironmentFault: E-ENGINE-MISSING, the one that is asked for is not installed.
        WrongUsage: E-OPTION-ENGINE, it is asked for at another target than this machine.
    """
    if request.engine not in {"auto", DEFAULT}:
        engines.version_of(request.engine)
    others = [name for name in ENGINES if name != DEFAULT and request.engine in {"auto", name}]
    if request.target != LOCAL:
        if request.engine not in {"auto", DEFAULT}:
            raise WrongUsage(
                "E-OPTION-ENGINE",
                f"--engine {request.engine} is tried on this machine only, and the target is {request.target}",
                f"leave out --target, or use --engine {DEFAULT}",
            )
        return (), ()
    missing = engines.available()
    notes = [f"{ENGINES[name].title} is not installed: {missing[name]} to try it" for name in others if missing[name]]
    return tuple(name for name in others if missing[name] is None), tuple(notes)


def only(engine: str, forms: Sequence[Candidate]) -> list[Candidate]:
    """Return onnxruntime's forms; rejected where another engine alone was asked for."""
    if engine in {"auto", DEFAULT}:
        return list(forms)
    reason = f"onnxruntime executes it, and --engine {engine} was asked for"
    return [replace(form, rejected=form.rejected or reason) for form in forms]


@dataclass(frozen=True)
class EngineForms:
    """Makes the forms of one model for one engine.

    Attributes:
        shop: Makes those for onnxruntime.
        engine: Name of the other engine.
    """

    shop: Shop
    engine: str

    def of(self, forms: Sequence[Candidate], account: Account) -> list[Candidate]:
        """Return judged forms: the float32 models as they are, and the static int8 form of every base.

        Args:
            forms: Those in onnxruntime, the user's own model first.
            account: How they came about.
        """
        terms = self.shop.terms
        floats = [self._moved(form) for form in forms if form.scheme is None and not form.rejected]
        found = [judge(self.agreeing(form), terms.by, terms.budget) for form in floats]
        statics = [form.scheme for form in forms if isinstance(form.scheme, Int8Static)]
        for base in account.bases.values() if statics else ():
            found += self._static(base, statics[0], account)
        return found

    def agreeing(self, form: Candidate) -> Candidate:
        """Return a form with how far it agrees with onnxruntime on the golden samples; rejected where it does not."""
        if form.rejected:
            return form
        samples = self._golden()
        try:
            expected = run_all(replace(form, engine_name=DEFAULT).engine(), samples)
        except BadInput as error:
            return replace(form, rejected=f"onnxruntime cannot say what is right: {error.message}")
        try:
            agreement = agreement_of(expected, run_all(form.engine(), samples))
        except BadInput as error:
            return replace(form, rejected=f"cannot be run: {error.message}")
        least = _LEAST_OF_FLOAT if form.scheme is None else _LEAST_OF_INT8
        if not agreement >= least:
            title = ENGINES[self.engine].title
            reason = (
                f"{title} computes something else than onnxruntime on the golden samples: "
                f"signal to noise {agreement:.1f} dB, at least {least:.0f} is asked for"
            )
            return replace(form, rejected=reason)
        return replace(form, agreement=None if agreement == math.inf else agreement)

    def _golden(self) -> SampleFeeds:
        samples = self.shop.request.samples
        return samples.head(GOLDEN_SAMPLES) if samples is not None else self.shop.terms.sample

    def _moved(self, form: Candidate) -> Candidate:
        name, precision = self._renamed(form.name), f"{form.precision}; {self._words()}"
        settings = replace(form.settings, config={})
        return replace(
            form, name=name, precision=precision, settings=settings, engine_name=self.engine, accuracy=None, noise=None
        )

    def _static(self, base: Base, static: Int8Static, account: Account) -> list[Candidate]:
        """Return the fully quantized form, which an engine that fuses whatever is quantized likes best, and repairs."""
        shop, means = self.shop, self.shop.means
        bench = shop.bench(base, self.engine)
        recipe = replace(static_recipe(static, shop.request.method, base.data), in_any_order=True)
        placements = _EnginePlacements(bench, means.stopwatch, shop.own, account.costs, recipe)
        placements.called = (self.engine, self._words())
        (full,) = bench.built([placements.order(Placement(0, 0))])
        checked = self.agreeing(full)
        if checked.rejected:
            return [checked]
        found = StaticSearch(bench, placements, account.costs, means.progress).run("quick")
        return [self.agreeing(form) for form in found.forms]

    def _renamed(self, name: str) -> str:
        return f"{name}-{self.engine}"

    def _words(self) -> str:
        return f"in {ENGINES[self.engine].title} {engines.version_of(self.engine)}"


class _EnginePlacements(PlacementSearch):
    """Orders forms under names that say what executes them."""

    called: tuple[str, str]  # suffix of the name, and words

    def order(self, placement: Placement) -> Order:
        """Return how a form with this placement is made."""
        return renamed(super().order(placement), *self.called)
