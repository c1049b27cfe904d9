"""How far a prediction can be trusted, and what is said where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from edge_runtime.inference.postprocess import Outcome

# "bad": the model's output is no finite number; "stale": the stream fell silent.
Quality: TypeAlias = Literal["good", "uncertain", "bad_input", "stale", "bad"]
WindowQuality: TypeAlias = Literal["good", "uncertain", "bad_input"]
OnBad: TypeAlias = Literal["hold", "alarm", "clear"]
Why: TypeAlias = Literal["", "incomplete_window", "low_confidence", "bad_input", "silent", "not_finite"]


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The prediction behind a verdict, so that one which is reported later can still say where it came from.

    Attributes:
        time: Time of the window's last reading, seconds since 1970.
        says_time: Whether its sensor said so; else it is the time of arrival.
        reading: Number of that reading in its stream, from 1.
        milliseconds: Inference time.
    """

    time: float
    says_time: bool
    reading: int
    milliseconds: float


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What is said about one stream at one moment.

    Attributes:
        value: As in `Outcome`; None where the quality is bad_input, stale or bad.
        label: Likewise.
        alarm: State of the alarm after all delays; None where there is none, or nothing is known of it yet.
        quality: How far the above can be trusted.
        report: Whether it is to be published; False: count it as unchanged.
        why: What made the quality other than good.
        origin: The prediction it rests on, where that was given.
    """

    value: float | None
    label: str | None
    alarm: bool | None
    quality: Quality
    report: bool = True
    why: Why = ""
    origin: Origin | None = None


@dataclass(frozen=True)
class QualityRule:
    """When a prediction is not trusted, and what becomes of the alarm then.

    Attributes:
        min_confidence: A class with a smaller score is uncertain; None for no such limit.
        stale_after: Seconds without a prediction after which a stream is stale; None for never.
        on_bad: The alarm while the quality is bad_input, stale or bad: ``hold`` what it was, or force it on or off.
        hold_uncertain: Whether uncertain predictions leave the alarm as it is, too.
    """

    min_confidence: float | None = None
    stale_after: float | None = None
    on_bad: OnBad = "hold"
    hold_uncertain: bool = False

    def quality_of(self, outcome: Outcome, window: WindowQuality) -> tuple[Quality, Why]:
        """Return the quality of one prediction and its reason, the worst of all that apply."""
        if window == "bad_input":
            return "bad_input", "bad_input"  # whatever the model makes of it
        if outcome.value is None:
            return "bad", "not_finite"
        if window == "uncertain":
            return "uncertain", "incomplete_window"
        if self.min_confidence is not None and outcome.label is not None and outcome.value < self.min_confidence:
            return "uncertain", "low_confidence"
        return "good", ""

    def counts(self, quality: Quality) -> bool:
        """Tell whether a prediction of this quality is evidence for or against the alarm."""
        return quality == "good" or (quality == "uncertain" and not self.hold_uncertain)

    def blind_alarm(self, last: bool | None) -> bool | None:
        """Return the alarm while nothing can be told, from its last state."""
        return last if self.on_bad == "hold" else self.on_bad == "alarm"
