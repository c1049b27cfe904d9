"""Alarm, report and quality options that make no sense together, with the decision, or with the source."""

from __future__ import annotations

from collections.abc import Iterator

from edge_runtime.config_options import PipelineConfig, Source
from edge_runtime.config_problems import Key, Problem, did_you_mean
from edge_runtime.decision_options import AlarmConfig, QualityConfig, ReportConfig
from edge_runtime.inference.postprocess import Argmax, Decision, Threshold
from edge_runtime.option_types import seconds


def decision_problems(key: Key, config: PipelineConfig) -> Iterator[Problem]:
    """Yield what is wrong with a pipeline's alarm, report and quality tables; `key` leads to the pipeline."""
    if config.alarm.k > config.alarm.n:
        message = f"alarm.k = {config.alarm.k} of alarm.n = {config.alarm.n} can never be"
        yield _problem((*key, "alarm", "k"), message, "write a k of at most n")
    yield from _report_problems((*key, "report"), config.report)
    yield from _quality_problems((*key, "quality"), config.quality, config.source)
    if config.decision is not None:
        yield from misfits(key, config, config.decision)


def misfits(key: Key, config: PipelineConfig, decision: Decision) -> Iterator[Problem]:
    """Yield what does not go with a decision, the configuration's own or the package's."""
    alarm, quality = config.alarm, config.quality
    yield from _clear_problems((*key, "alarm"), alarm, decision)
    has_alarm = isinstance(decision, Threshold) or (isinstance(decision, Argmax) and bool(decision.alarm_on))
    if not has_alarm:
        fix = 'kind = "threshold", or alarm_on = ["…"] with kind = "argmax"; else leave this out'
        if alarm != AlarmConfig():
            yield _problem((*key, "alarm"), "there are options for an alarm, and the decision has none", fix)
        if quality.on_bad != "hold":
            message = f'quality.on_bad = "{quality.on_bad}" is about an alarm, and the decision has none'
            yield _problem((*key, "quality", "on_bad"), message, fix)
    if quality.min_confidence is not None and not isinstance(decision, Argmax):
        message = "quality.min_confidence is about the score of a class, and the decision knows no classes"
        yield _problem((*key, "quality", "min_confidence"), message, 'leave it out, or decide by kind = "argmax"')


def _clear_problems(key: Key, alarm: AlarmConfig, decision: Decision) -> Iterator[Problem]:
    for name, limit, side in (("clear_below", "above", 1), ("clear_above", "below", -1)):
        clear = getattr(alarm, name)
        if clear is None:
            continue
        raised = getattr(decision, limit, None)
        if raised is None:
            message, fix = (
                f"alarm.{name} goes with a threshold {limit} which there is none",
                f"add {limit}, or leave it out",
            )
            yield _problem((*key, name), message, fix)
        elif not side * clear <= side * raised:
            message = f"alarm.{name} = {clear} is on the wrong side: the alarm is raised {limit} {raised}"
            yield _problem((*key, name), message, f"write {'at most' if side > 0 else 'at least'} {raised}")


def _report_problems(key: Key, report: ReportConfig) -> Iterator[Problem]:
    for name in ("dead_band", "dead_band_percent"):
        if getattr(report, name) is not None and report.on == "every":
            message = f"report.{name} has no effect where every prediction is reported"
            yield _problem((*key, name), message, 'add on = "change"')
    yield from _zero_problems(key, report, ("at_least_every", "at_most_every"))
    least, most = report.at_least_every, report.at_most_every
    if least is not None and most is not None and seconds(least) < seconds(most):
        message = f'at least every "{least}" and at most every "{most}" cannot both be'
        yield _problem((*key, "at_least_every"), message, "write an at_least_every of at least at_most_every")


def _quality_problems(key: Key, quality: QualityConfig, source: Source) -> Iterator[Problem]:
    yield from _zero_problems(key, quality, ("stale_after",))
    limits, fields = quality.limits, source.fields
    if isinstance(limits, tuple) and fields:
        message = "quality.limits is one pair for all fields, whatever they measure"
        yield _problem((*key, "limits"), message, f"limits = {{ {fields[0]} = [{limits[0]:g}, {limits[1]:g}] }}")
    for name in ("limits", "stuck_after"):
        option = getattr(quality, name)
        if isinstance(option, dict):
            yield from _name_problems((*key, name), list(option), source)
    pairs = limits.values() if isinstance(limits, dict) else [limits] if limits else []
    for low, high in pairs:
        if not low < high:
            message = f"quality.limits: nothing lies between {low:g} and {high:g}"
            yield _problem((*key, "limits"), message, "write the lowest plausible number first, then the highest")


def _name_problems(key: Key, names: list[str], source: Source) -> Iterator[Problem]:
    option = f"{key[-2]}.{key[-1]}"
    if source.array is not None:
        fix = "without names: limits = [-50, 50], stuck_after = 10"
        yield _problem(key, f"{option} names fields, and the readings are arrays", fix)
        return
    for name in names:
        if name not in source.fields:
            fix = did_you_mean(name, list(source.fields)) or f"the fields are {', '.join(source.fields)}"
            yield _problem(key, f"{option}: {name!r} is no field of the source", fix)


def _zero_problems(key: Key, table: ReportConfig | QualityConfig, names: tuple[str, ...]) -> Iterator[Problem]:
    for name in names:
        found = getattr(table, name)
        if found is not None and not seconds(found):
            message = f'{key[-1]}.{name} = "{found}" is no time at all'
            yield _problem((*key, name), message, "write a longer one, or leave it out")


def _problem(key: Key, message: str, fix: str) -> Problem:
    return Problem("E-CONFIG-VALUE", key, message, fix)
