"""Times forms against each other, interleaved, and keeps every comparison, so that it can be taken up again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import msgspec

from benchmarks.latency import FEWEST_ROUNDS, Comparison, Interval, Plan, Run, clock_for, compare
from edge_runtime.inference.engine import Engine, Feeds
from edge_runtime.inference.engines import version_of
from edge_runtime.package.manifest import Quantity
from optimizer.cache import Cache, Parts, key
from optimizer.candidates import Candidate
from optimizer.executor import Ticks, silent

_KIND = "timing"
MOST_SECONDS = 60.0  # of one comparison, where the fewest rounds allow that


class Timed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One comparison: what was timed, in order, and what came out.

    Attributes:
        digest: Of everything that went in: models, settings, input, plan, machine, tools.
        names: The forms, the reference first.
        comparison: Milliseconds per call and speed-ups over the reference, in the same order.
        quantity: What was compared. Of ``instructions``, timings are millions of them; of ``formulas``, shares of the
            reference's predicted time.
    """

    digest: str
    names: tuple[str, ...]
    comparison: Comparison
    quantity: Quantity = "time"


@dataclass
class Stopwatch:
    """Times forms on this machine; what was timed before is not timed again.

    Subclasses judge forms for a machine that is elsewhere, by other means: see `_take`.

    Attributes:
        quantity: What its speed-ups are the ratio of.
        is_cheap: Whether dozens of forms may be compared, as the search for a placement does.
        sample: What every form is fed.
        machine: In words; part of what a time belongs to.
        tools: Name -> version of what executes the forms.
        cache: Where comparisons are kept.
        taken: Every comparison this run has rested on, in order.
        anew: How many of them were measured in this run.
    """

    quantity: ClassVar[Quantity] = "time"
    is_cheap: ClassVar[bool] = True

    sample: Feeds
    machine: str
    tools: dict[str, str]
    cache: Cache
    taken: list[Timed] = field(default_factory=list)
    anew: int = 0

    @property
    def unit(self) -> str:
        """Return what stands behind its speed-ups in a sentence, label included where it is not measured."""
        return "x" if self.quantity == "time" else f"x by {self.quantity} (predicted)"

    def timed(
        self,
        candidates: Sequence[Candidate],
        plan: Plan,
        progress: Ticks = silent,
    ) -> list[Candidate]:
        """Return the candidates with milliseconds and speed-up over the first; those that are out stay as they are."""
        running = [candidate for candidate in candidates if not candidate.rejected]
        comparison = self._remembered(running, plan, lambda: self._take(running, plan, progress))
        is_time = self.quantity == "time"
        timed = {
            candidate.name: replace(
                candidate, milliseconds=amount if is_time else None, speedup=speedup, quantity=self.quantity
            )
            for candidate, amount, speedup in zip(running, comparison.timings, comparison.speedups, strict=True)
        }
        return [timed.get(candidate.name, candidate) for candidate in candidates]

    def speedup(self, before: Candidate, after: Candidate, timer: Callable[[bytes, bytes], Interval]) -> Interval:
        """Return time before / time after of two models that hardly differ, measured by `timer` or taken up again."""
        return self._remembered(
            [before, after], "fresh sessions", lambda: _pair(timer(before.data, after.data))
        ).speedups[1]

    def _take(self, running: Sequence[Candidate], plan: Plan, progress: Ticks) -> Comparison:
        """Compare the forms, the first being the reference."""
        engines = [candidate.engine() for candidate in running]
        clock = clock_for(max(candidate.settings.threads for candidate in running))
        runs = [_bind(engine, self.sample) for engine in engines]
        return compare(runs, _bounded(plan, runs), progress=progress, clock=clock)

    def _remembered(
        self, running: Sequence[Candidate], plan: Plan | str, measured: Callable[[], Comparison]
    ) -> Comparison:
        parts = self._parts(running, plan)
        entry = self.cache.get(_KIND, parts)
        if entry is None:
            comparison = _rounded(measured())
            self.anew += 1
            self.cache.put(_KIND, parts, msgspec.json.encode(comparison))
        else:
            comparison = msgspec.json.decode(entry, type=Comparison)
        names = tuple(candidate.name for candidate in running)
        self.taken.append(Timed(key(parts), names, comparison, self.quantity))
        return comparison

    def _parts(self, running: Sequence[Candidate], plan: Plan | str) -> Parts:
        inputs = {
            name: [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
            for name, array in self.sample.items()
        }
        forms = [[hashlib.sha256(one.data).hexdigest(), one.settings, *_engine(one)] for one in running]
        return {"forms": forms, "inputs": inputs, "plan": plan, "machine": self.machine, "tools": self.tools}


def _engine(one: Candidate) -> tuple[str, ...]:
    """Return engine and release; nothing for onnxruntime, which stands among the tools of every time."""
    return (one.engine_name, version_of(one.engine_name)) if one.is_elsewhere else ()


def pin(cache: Cache, taken: Sequence[Timed]) -> None:
    """Let a cache answer with measurements taken before, for instance those a package was built on."""
    for one in taken:
        cache.pin(_KIND, one.digest, msgspec.json.encode(one.comparison))


def _pair(speedup: Interval) -> Comparison:
    """Return a speed-up as a comparison of two, whose times are in units of the first."""
    one = Interval(1.0, 1.0, 1.0)
    inverse = Interval(1 / speedup.value, 1 / speedup.high, 1 / speedup.low)
    return Comparison(timings=(one, inverse), speedups=(one, speedup))


def _bounded(plan: Plan, runs: Sequence[Run]) -> Plan:
    """Return the plan with fewer rounds where models are so slow that it would take minutes."""
    round_seconds = 0.0
    for run in runs:
        begin = time.perf_counter()
        run()
        round_seconds += max(plan.slot_seconds, time.perf_counter() - begin)
    return replace(plan, rounds=max(FEWEST_ROUNDS, min(plan.rounds, int(MOST_SECONDS / round_seconds))))


def _rounded(comparison: Comparison) -> Comparison:
    """Return the times with six digits: more is noise, and a report can hold these exactly."""

    def short(interval: Interval) -> Interval:
        return Interval(*(float(f"{number:.6g}") for number in (interval.value, interval.low, interval.high)))

    return Comparison(
        timings=tuple(short(interval) for interval in comparison.timings),
        speedups=tuple(short(interval) for interval in comparison.speedups),
    )


def _bind(engine: Engine, sample: Feeds) -> Run:
    return lambda: engine.run(sample)
