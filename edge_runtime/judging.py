"""From a pipeline's options to what judges its readings and predictions."""

from __future__ import annotations

import math
from typing import TypeVar

from edge_runtime.config_options import PipelineConfig
from edge_runtime.inference.postprocess import Decision, Threshold
from edge_runtime.option_types import seconds
from edge_runtime.stream.alarm import AlarmRule
from edge_runtime.stream.input_guard import GuardRule, InputGuard
from edge_runtime.stream.judge import Judge, Rules
from edge_runtime.stream.quality import QualityRule
from edge_runtime.stream.report import ReportRule

T = TypeVar("T")


def judge_of(config: PipelineConfig, decision: Decision) -> Judge:
    """Return the judge of a pipeline's predictions; `decision` is the one in effect, perhaps the package's."""
    return Judge(Rules(_alarm(config, decision), _report(config), _quality(config)))


def guard_of(config: PipelineConfig) -> InputGuard:
    """Return the guard of a pipeline's readings."""
    source, quality = config.source, config.quality
    names = source.fields or (str(source.array),)
    return InputGuard(
        GuardRule(
            names=names,
            is_array=source.array is not None,
            limits=_by_name(quality.limits, names),
            stuck_after=_by_name(quality.stuck_after, names),
            window=config.window.size,
        )
    )


def _by_name(option: dict[str, T] | T | None, names: tuple[str, ...]) -> dict[str, T]:
    if option is None:
        return {}
    return option if isinstance(option, dict) else dict.fromkeys(names, option)


def _alarm(config: PipelineConfig, decision: Decision) -> AlarmRule:
    alarm = config.alarm
    above, below = (decision.above, decision.below) if isinstance(decision, Threshold) else (None, None)
    return AlarmRule(
        above=above,
        below=below,
        clear_below=alarm.clear_below,
        clear_above=alarm.clear_above,
        k=alarm.k,
        n=alarm.n,
        on_delay=seconds(alarm.on_delay),
        on_count=alarm.on_count,
        off_delay=seconds(alarm.off_delay),
        off_count=alarm.off_count,
        cool_down=seconds(alarm.cool_down),
    )


def _report(config: PipelineConfig) -> ReportRule:
    report = config.report
    return ReportRule(
        on=report.on,
        dead_band=report.dead_band,
        dead_band_percent=report.dead_band_percent,
        at_least_every=math.inf if report.at_least_every is None else seconds(report.at_least_every),
        at_most_every=0.0 if report.at_most_every is None else seconds(report.at_most_every),
    )


def _quality(config: PipelineConfig) -> QualityRule:
    quality = config.quality
    return QualityRule(
        min_confidence=quality.min_confidence,
        stale_after=None if quality.stale_after is None else seconds(quality.stale_after),
        on_bad=quality.on_bad,
        hold_uncertain=quality.on_uncertain == "hold",
    )
