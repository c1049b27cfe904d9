"""From a pipeline's configuration and its package to a pipeline that fits together, or the reason why it does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge_runtime.config_options import PipelineConfig
from edge_runtime.decision_checks import misfits
from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array, Tensor
from edge_runtime.inference.features import Features
from edge_runtime.inference.postprocess import Argmax, Decision, Value
from edge_runtime.judging import guard_of, judge_of
from edge_runtime.messaging.topics import SourceTopic
from edge_runtime.option_types import seconds, size_in_bytes
from edge_runtime.package.choice import Wishes
from edge_runtime.package.manifest import Manifest
from edge_runtime.package.serving import ServedModel, load_for_serving
from edge_runtime.stream.decode import Decoder
from edge_runtime.stream.gatherer import Due, Gatherer
from edge_runtime.stream.judge import Judge
from edge_runtime.stream.pipeline import Feeder, Pipeline, Predictor
from edge_runtime.stream.rules import StreamBound, TimeRule
from edge_runtime.stream.window import AnyRule, Windows
from edge_runtime.window_options import rule_of

Loaded: TypeAlias = dict[tuple[Path, Wishes], ServedModel]

_NUMBERS = ("float", "int", "uint", "bool")  # how the dtypes begin that a pipeline can fill and read


@dataclass(frozen=True)
class Assembled:
    """A pipeline that has made a prediction from zeros, and what it serves.

    Attributes:
        config: Its configuration.
        served: The package's model, golden samples met.
        pipeline: Ready for payloads.
        topic: Where its readings come from.
        unit: Engineering unit of its values, "" for none.
        judge: Of its predictions.
    """

    config: PipelineConfig
    served: ServedModel
    pipeline: Pipeline
    topic: SourceTopic
    unit: str
    judge: Judge


def assemble(config: PipelineConfig, folder: Path, loaded: Loaded, state: Path | None = None) -> Assembled:
    """Load the package (once per path and choice) and make sure window, model and decision fit together.

    Args:
        config: The pipeline.
        folder: What a relative package path starts from: the configuration file's folder.
        loaded: Packages loaded already; added to.
        state: The daemon's folder for what outlives a restart; None keeps nothing.

    Raises:
        BadInput: E-PACKAGE-…, or E-PIPELINE-INPUT, E-PIPELINE-OUTPUT, E-PIPELINE-DECISION, E-PIPELINE-SHAPE,
            E-PIPELINE-VARIANT.
        Refused: E-PACKAGE-DAMAGED, E-GOLDEN-MISMATCH, …
        EnvironmentFault: E-PROVIDER-MISSING.
    """
    path, wishes = folder / config.package, _wishes(config)
    if (path, wishes) not in loaded:
        loaded[path, wishes] = load_for_serving(path, wishes, state)
    served = loaded[path, wishes]
    output, decision = _output(config, served.manifest), _decision(config, served.manifest)
    rule = rule_of(config.window, _features(config))
    tensor = _only_input(config, served.manifest)
    features = served.manifest.computed
    if features is None:
        _refuse_reordering(config, tensor, rule)
    else:
        _demand_window_of(features, config, rule)
    guard, judge = guard_of(config), judge_of(config, decision)

    def forgotten(stream: str) -> None:
        guard.evict(stream)
        judge.evict(stream)

    gatherer = Gatherer(_decoder(config), guard, Windows(rule, _bound(config), forgotten))
    feeder = Feeder(tensor, config.window.layout, served.manifest.preprocess, features)
    predictor = Predictor(feeder, served.engine, output, decision)
    scores = _try_out(config, predictor, _two_windows(rule, features))
    if isinstance(decision, Argmax) and decision.labels and len(decision.labels) != scores:
        problem = f"there are {len(decision.labels)} labels for the {scores} numbers of the model's output {output}"
        raise _misfit("E-PIPELINE-DECISION", config, problem, "name every class once, in the model's order")
    unit = decision.unit if isinstance(decision, Value) else ""
    topic = SourceTopic.parse(config.source.topic, config.source.share)
    return Assembled(config, served, Pipeline(gatherer, predictor), topic, unit, judge)


def _decoder(config: PipelineConfig) -> Decoder:
    source = config.source
    return Decoder(
        fields=source.fields,
        array=source.array,
        length=source.length or 0,
        time_field=source.time_field,
        max_bytes=size_in_bytes(source.max_payload),
        form=source.format,
    )


def _wishes(config: PipelineConfig) -> Wishes:
    model = config.model
    return Wishes(model.variant, model.selection, model.engines, model.providers, model.fallback == "allowed")


def _features(config: PipelineConfig) -> int:
    return len(config.source.fields) or config.source.length or 0


def _bound(config: PipelineConfig) -> StreamBound:
    source = config.source
    return StreamBound(source.max_streams, source.when_full, seconds(source.idle) if source.idle else None)


def _only_input(config: PipelineConfig, manifest: Manifest) -> Tensor:
    if len(manifest.inputs) == 1 and manifest.inputs[0].dtype.startswith(_NUMBERS):
        return manifest.inputs[0]
    inputs = "; ".join(str(tensor) for tensor in manifest.inputs)
    raise _misfit(
        "E-PIPELINE-INPUT",
        config,
        f"{manifest.label} takes {inputs}; a pipeline feeds one input of numbers",
        "export the model with one such input, or fix the others to constants",
    )


def _refuse_reordering(config: PipelineConfig, tensor: Tensor, rule: AnyRule) -> None:
    """Refuse to pour readings x numbers into an input of two other axes: it would run, on scrambled values."""
    window = (rule.size, rule.features) if config.window.layout == "time_first" else (rule.features, rule.size)
    axes = [size for size in tensor.shape[1:] if size != 1]
    if 1 in window or len(axes) < 2 or tensor.elements_per_sample() is None or axes == list(window):
        return
    raise _misfit(
        "E-PIPELINE-SHAPE",
        config,
        f"a window is {window[0]} x {window[1]} ({config.window.layout}) and the model's input is {tensor}",
        'turn the window round with window.layout = "features_first" or "time_first", or correct size and fields',
    )


def _demand_window_of(features: Features, config: PipelineConfig, rule: AnyRule) -> None:
    """Refuse a window that the package's features are not declared for."""
    if isinstance(rule, TimeRule) and features.sample_rate and rule.rate != features.sample_rate:
        declared = f"the package's features are declared for {features.sample_rate:g}"
        problem = f"windows have {rule.rate:g} rows a second, {declared}"
        raise _misfit("E-PIPELINE-SHAPE", config, problem, f"set window.rate = {features.sample_rate:g}")
    if (rule.size, rule.features, config.window.layout) == (features.size, features.channels, "time_first"):
        return
    raise _misfit(
        "E-PIPELINE-SHAPE",
        config,
        f"a window is {rule.size} readings x {rule.features} numbers ({config.window.layout}), the package computes "
        f"features of {features.size} x {features.channels} (time_first)",
        f'set window.size = {features.size} and window.layout = "time_first", and have fields name '
        f"{features.channels} numbers, read {features.sample_rate:g} times a second",
    )


def _output(config: PipelineConfig, manifest: Manifest) -> str:
    names = [tensor.name for tensor in manifest.outputs if tensor.dtype.startswith(_NUMBERS)]
    floats = [tensor.name for tensor in manifest.outputs if tensor.dtype.startswith("float")]
    wanted = config.output or next(iter(floats), None)
    if wanted in names:
        return str(wanted)
    problem = f"{manifest.label} has no output {wanted or 'of floating-point numbers'}"
    fix = f'set output = "…" to one of: {", ".join(names)}' if names else "export the model with its scores as output"
    raise _misfit("E-PIPELINE-OUTPUT", config, problem, fix)


def _decision(config: PipelineConfig, manifest: Manifest) -> Decision:
    """Return the configured decision, class names taken from the package where the configuration gives none."""
    wanted, packaged = config.decision, manifest.decision
    if isinstance(wanted, Argmax) and not wanted.labels and isinstance(packaged, Argmax):
        return Argmax(labels=packaged.labels, alarm_on=wanted.alarm_on)
    found = wanted or packaged
    if found is None:
        fix = '[pipeline.decision] kind = "argmax", "threshold" or "value"'
        raise _misfit("E-PIPELINE-DECISION", config, "neither the configuration nor the package has a decision", fix)
    if isinstance(found, Argmax) and found.labels and not set(found.alarm_on) <= set(found.labels):
        strange = ", ".join(sorted(set(found.alarm_on) - set(found.labels)))
        fix = f"use labels of the model: {', '.join(found.labels)}"
        raise _misfit("E-PIPELINE-DECISION", config, f"alarm_on names {strange}, which is no label", fix)
    for problem in misfits((), config, found):
        raise _misfit("E-PIPELINE-DECISION", config, problem.message, problem.fix)
    return found


def _two_windows(rule: AnyRule, features: Features | None) -> Array:
    """Return a window of zeros and one that a model tells from it; most features of any constant are the same."""
    shape = (rule.size, rule.features)
    other = np.ones(shape) if features is None else np.random.default_rng(0).standard_normal(shape)
    return np.stack([np.zeros(shape), other]).astype(np.float32)


def _try_out(config: PipelineConfig, predictor: Predictor, windows: Array) -> int:
    """Run windows through model and decision, as what fits on paper may still not run.

    Returns how many numbers the output has. A model that mixes up windows which it is given together, as some with an
    open batch dimension do, gets them one by one from here on.
    """
    try:
        alone = [predictor.infer(windows[:1]), predictor.infer(windows[1:])]
        predictor.predict([Due("", 1, None, False, None, "good", windows[0])])
    except (ValueError, BadInput) as error:
        raise _misfit(
            "E-PIPELINE-SHAPE",
            config,
            f"a window of {windows.shape[1]} readings x {windows.shape[2]} numbers does not fit the model: {error}",
            "compare window.size, the fields and window.layout with the input in `edgeopt inspect PACKAGE`",
        ) from error
    except IndexError as error:
        fix = "see the model's outputs in `edgeopt inspect PACKAGE`"
        raise _misfit("E-PIPELINE-DECISION", config, f"the decision's index does not exist: {error}", fix) from error
    predictor.together = predictor.together and _same_together(predictor, windows, np.concatenate(alone))
    return int(alone[0].size)


def _same_together(predictor: Predictor, windows: Array, alone: Array) -> bool:
    try:
        together = predictor.infer(windows)
    except (ValueError, BadInput):
        return False
    return together.shape == alone.shape and bool(np.allclose(together, alone, rtol=1e-2, atol=1e-3, equal_nan=True))


def _misfit(code: str, config: PipelineConfig, what: str, fix: str) -> BadInput:
    return BadInput(code, f"pipeline {config.name}: {what}", fix)
