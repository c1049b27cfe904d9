"""Timekeepers for machines that are not this one: the board itself, its instructions counted, formulas.

Each has the contract of `Stopwatch`: forms in, the same forms with a speed-up over the first out, and says what that is
the ratio of. Only the board itself measures; counts and formulas are a direction, and no milliseconds come of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import msgspec

from benchmarks.latency import FEWEST_ROUNDS, Comparison, Interval, Plan
from edge_runtime.errors import Refused
from edge_runtime.package.manifest import Quantity
from optimizer.audit import audit
from optimizer.candidates import Candidate
from optimizer.executor import Ticks, silent
from optimizer.stopwatch import MOST_SECONDS, Stopwatch

if TYPE_CHECKING:
    from benchmarks.remote import Form, Timing
    from devices.places.emulated import EmulatedPlace
    from devices.places.place import Place

_REWRITE_PLAN = Plan(rounds=15)
_SAID = "board"
_RUNS = "runs"


@dataclass
class Elsewhere(Stopwatch):
    """What all of them share: two models that hardly differ are compared as any others are."""

    def speedup(self, before: Candidate, after: Candidate, timer: Callable[[bytes, bytes], Interval]) -> Interval:
        """Return how much better the second is; `timer`, which times here, is of no use for another machine."""
        pair = [before, after]
        return self._remembered(pair, _REWRITE_PLAN, lambda: self._take(pair, _REWRITE_PLAN, silent)).speedups[1]


@dataclass
class RemoteStopwatch(Elsewhere):
    """Times forms on the board itself, interleaved.

    Attributes:
        place: The board.
        said: How the board fared while it was timed last, and what makes its times doubtful, in sentences.
    """

    place: Place = field(kw_only=True)
    said: tuple[str, ...] = field(default=(), kw_only=True)

    def timed(self, candidates: Sequence[Candidate], plan: Plan, progress: Ticks = silent) -> list[Candidate]:
        """Return the candidates with their times there, those rejected that do not run; see `Stopwatch.timed`."""
        tried = self._tried(candidates)
        timed = super().timed(tried, plan, progress)
        parts = self._parts([candidate for candidate in tried if not candidate.rejected], plan)
        said = self.cache.get(_SAID, parts)
        self.said = () if said is None else msgspec.json.decode(said, type=tuple[str, ...])
        return timed

    def _tried(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates, those rejected that the board's engine, maybe an older release, does not run."""
        known = {one.name: self._known(one) for one in candidates if not one.rejected}
        if unknown := [one for one in candidates if not one.rejected and known[one.name] is None]:
            from benchmarks import remote  # noqa: PLC0415

            failures = remote.outputs(self.place, forms_of(unknown), self.sample, 1).failures
            for one in unknown:
                known[one.name] = failures.get(one.name, "")
                self.cache.put(_RUNS, self._parts([one], _RUNS), failures.get(one.name, "").encode())
        return [
            replace(one, rejected=f"does not run at {self.place.name}: {reason}")
            if (reason := known.get(one.name))
            else one
            for one in candidates
        ]

    def _known(self, candidate: Candidate) -> str | None:
        """Return why a form does not run there, "" where it does, None where that is not known yet."""
        entry = self.cache.get(_RUNS, self._parts([candidate], _RUNS))
        return None if entry is None else entry.decode()

    def _take(self, running: Sequence[Candidate], plan: Plan, progress: Ticks) -> Comparison:
        """Time the forms there.

        Raises:
            Refused: E-TARGET-THROTTLED, the board slowed itself down meanwhile.
            EnvironmentFault: E-PLACE-….
        """
        from benchmarks import remote  # noqa: PLC0415 - whoever builds for this machine needs no ssh

        timing = remote.timed(self.place, forms_of(running), self.sample, self._bounded(plan, len(running)), progress)
        if timing.refused:
            raise Refused(
                "E-TARGET-THROTTLED",
                f"{self.place.name} slowed itself down while it was timed ({timing.refused}): the times prove nothing",
                "let it cool, give it the power supply its maker names, and run the command again",
            )
        said = (f"{self.place.name}, while it was timed: {_fared(timing)}", *timing.doubts)
        self.cache.put(_SAID, self._parts(running, plan), msgspec.json.encode(said))
        return timing.comparison

    def _bounded(self, plan: Plan, count: int) -> Plan:
        """Return the plan with fewer rounds where the board is known to be so slow that it would take minutes."""
        known = [one.comparison.timings[0].value / 1e3 for one in self.taken]
        seconds = max(plan.slot_seconds, *known, 0.0) * count
        return replace(plan, rounds=max(FEWEST_ROUNDS, min(plan.rounds, int(MOST_SECONDS / seconds))))


@dataclass
class InstructionCounter(Elsewhere):
    """Counts the instructions of one inference under emulation: whether a form executes fewer of them than float32.

    That is a direction. Instructions differ in cost, and what memory costs is not seen at all.

    Attributes:
        place: The emulated board.
    """

    quantity: ClassVar[Quantity] = "instructions"
    is_cheap: ClassVar[bool] = False
    place: EmulatedPlace = field(kw_only=True)

    def _take(self, running: Sequence[Candidate], plan: Plan, progress: Ticks) -> Comparison:
        """Count the forms' instructions; `timings` are millions of them."""
        from benchmarks.instructions.count import count  # noqa: PLC0415

        counted = count(self.place, forms_of(running), self.sample)
        millions = [counted[candidate.name].total / 1e6 for candidate in running]
        return Comparison(_exact(millions), _exact([millions[0] / amount for amount in millions]))


@dataclass
class Predictor(Elsewhere):
    """Predicts from shapes whether a static int8 form is faster; of any other form it knows nothing and says 1.

    Attributes:
        kernels: What the target multiplies 8-bit numbers with, as its profile names it.
    """

    quantity: ClassVar[Quantity] = "formulas"
    kernels: str = field(kw_only=True)

    def _take(self, running: Sequence[Candidate], plan: Plan, progress: Ticks) -> Comparison:
        """Predict the forms' speeds; `timings` are shares of the reference's."""
        shapes = {name: array.shape for name, array in self.sample.items()}
        found = [audit(one.data, one.settings, shapes, self.kernels).prediction.ratio for one in running[1:]]
        ratios = [1.0, *found]
        return Comparison(_exact([1 / ratio for ratio in ratios]), _exact(ratios))


def _fared(timing: Timing) -> str:
    """Return temperature, throttling and memory in words, as far as the board tells."""
    before, after = timing.before.temperature_celsius, timing.after.temperature_celsius
    heat = "temperature unknown" if before is None or after is None else f"{before:.0f} to {after:.0f} C"
    held = "not throttled" if timing.after.throttling is not None else "it does not say whether it was throttled"
    memory = [f"{name} {size / 1e6:.0f} MB" for name, size in timing.memory.items()]
    return f"{heat}, {held}, peak memory {', '.join(memory) or 'unknown'}"


def forms_of(candidates: Sequence[Candidate]) -> list[Form]:
    """Return candidates as a place runs them."""
    from benchmarks.remote import Form  # noqa: PLC0415

    return [Form(one.name, one.data, one.settings, one.engine_name) for one in candidates]


def _exact(values: Sequence[float]) -> tuple[Interval, ...]:
    return tuple(Interval(value, value, value) for value in values)
