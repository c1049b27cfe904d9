"""Report by exception: which predictions are worth a message."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import msgspec

from edge_runtime.stream.quality import Verdict


@dataclass(frozen=True)
class ReportRule:
    """Which verdicts are reported. A change of label, alarm or quality always is.

    Attributes:
        on: ``every`` reports all, ``change`` those whose value changed. A label's score counts as a change only where
            a dead-band is given.
        dead_band: The value changed where it differs by more than this from the last one reported; None for 0.
        dead_band_percent: Likewise in percent of the last one reported; with both, by more than the larger.
        at_least_every: Seconds after which the newest verdict is reported although nothing changed; None for never.
        at_most_every: Seconds that must lie between two reports of mere values; the newest value held back is
            reported when they are over.
    """

    on: Literal["every", "change"] = "every"
    dead_band: float | None = None
    dead_band_percent: float | None = None
    at_least_every: float = math.inf
    at_most_every: float = 0.0


class ReportState(msgspec.Struct, gc=False):
    """What is remembered of one stream.

    Attributes:
        reported: The last verdict reported.
        at: When.
        latest: The newest verdict, where it was not reported.
        is_held: Whether it is only held back, and due when `at_most_every` is over.
    """

    reported: Verdict | None = None
    at: float = -math.inf
    latest: Verdict | None = None
    is_held: bool = False


class Reporter:
    """Decides on the reports of one pipeline; each stream's memory is passed in."""

    def __init__(self, rule: ReportRule) -> None:
        self._rule = rule
        self._looks_at_scores = rule.dead_band is not None or rule.dead_band_percent is not None

    def take(self, state: ReportState, now: float, verdict: Verdict) -> bool:
        """Tell whether a new verdict is reported; `now` never runs backwards."""
        last, since = state.reported, now - state.at
        is_wanted = last is None or self._rule.on == "every" or self._moved(last, verdict)
        if last is None or _differs(last, verdict) or since >= self._rule.at_least_every:
            is_due = True
        else:
            is_due = is_wanted and since >= self._rule.at_most_every
        if is_due:
            self.reported(state, now, verdict)
        else:
            state.latest, state.is_held = verdict, is_wanted
        return is_due

    def reported(self, state: ReportState, now: float, verdict: Verdict) -> None:
        """Take note of a report."""
        state.reported, state.at, state.latest, state.is_held = verdict, now, None, False

    def deadline(self, state: ReportState) -> float:
        """Return when `state.latest` is to be reported, infinity for never."""
        if state.latest is None:
            return math.inf
        wait = self._rule.at_most_every if state.is_held else math.inf
        return state.at + min(wait, self._rule.at_least_every)

    def repeat(self, state: ReportState) -> float:
        """Return when the last report is due once more, although there is nothing newer."""
        return state.at + self._rule.at_least_every

    def _moved(self, last: Verdict, new: Verdict) -> bool:
        if last.value is None or new.value is None:
            return False  # a change of quality, or none
        if new.label is not None and not self._looks_at_scores:
            return False
        absolute, percent = self._rule.dead_band or 0.0, self._rule.dead_band_percent or 0.0
        return abs(new.value - last.value) > max(absolute, abs(last.value) * percent / 100)


def _differs(last: Verdict, new: Verdict) -> bool:
    return last.alarm != new.alarm or last.label != new.label or last.quality != new.quality
