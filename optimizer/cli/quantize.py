"""`edgeopt quantize`: the command users type first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

METHODS = ("auto", "minmax", "percentile", "entropy", "mse")  # optimizer.calibrate.ranges; importing it takes a second
MEMBER = "report.json"
ENGINES = ("auto", "onnxruntime", "openvino")  # edge_runtime.inference.engines; importing it takes a second

if TYPE_CHECKING:
    from optimizer.data import Dataset
    from optimizer.load import LoadedModel
    from optimizer.request import Identity, Request
    from optimizer.result import Result
    from optimizer.search import Effort


@dataclass(frozen=True)
class Options:
    """The command line, as given."""

    model: Path
    calibration: str | None
    evaluation: str | None
    metric: str
    max_drop: str
    confidence: float | None
    target: tuple[str, ...]
    output: Path | None
    effort: Effort
    require: tuple[str, ...]
    also: tuple[str, ...]
    score_output: str | None
    shape: tuple[str, ...]
    threads: str
    method: str
    memory: int | None
    executor: str
    engine: str
    cache: Path | None
    no_cache: bool
    measurements: Path | None
    report: Path | None
    as_json: bool
    name: str | None
    model_version: int
    labels: Path | None
    features: Path | None
    scale: float
    mean: str
    std: str


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--calibration", metavar="DATA", help="Typical inputs: .npz, .npy, .csv, a folder of images, or module:function."
)
@click.option("--evaluation", metavar="DATA", help="Samples for the metric, other than the calibration samples.")
@click.option(
    "--metric",
    default="agreement",
    show_default=True,
    help="top1, top5, auc, f1, rmse, mae, map50, map, spearman, recall_at_1, agreement (with float32), or "
    "module:function.",
)
@click.option(
    "--max-drop", default="1pt", show_default=True, help="What may be lost: 1pt (points) or 1% (of the float32 value)."
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.999),
    help="Demand that the budget holds with this confidence, such as 0.95. [default: the measured loss decides]",
)
@click.option(
    "--target",
    multiple=True,
    metavar="TARGET",
    help="The machine it is for: local, a profile (edgeopt devices list), emulated:PROFILE, or ssh://USER@HOST[:PORT], "
    "which is measured. Given several times, the package holds a variant for each. [default: local]",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Package to write. [default: MODEL.edgepkg, here]"
)
@click.option(
    "--effort",
    type=click.Choice(["quick", "default", "thorough"]),
    default="default",
    show_default=True,
    help="How long to search for the layers where int8 pays.",
)
@click.option(
    "--require",
    multiple=True,
    type=click.Choice(["int8", "verified"]),
    help="Fail with exit status 4 rather than keep float32, or where nothing could run at a target.",
)
@click.option(
    "--also",
    multiple=True,
    type=click.Choice(["fp32"]),
    help="Put the model as given behind the others. It follows anyway where they all need a certain processor.",
)
@click.option("--score-output", metavar="NAME", help="Output the metric looks at. [default: the first float output]")
@click.option("--shape", multiple=True, metavar="NAME=1,3,224,224", help="Shape of an open input, without data.")
@click.option(
    "--threads",
    metavar="N|auto",
    default="1",
    show_default=True,
    help="To measure and serve with; auto takes more where they are worth their cores.",
)
@click.option(
    "--method",
    "--calibration-method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="How ranges are read from what calibration saw; auto takes what errs least for each tensor.",
)
@click.option("--memory", type=click.IntRange(min=1), metavar="MB", help="Activations held at a time. [default: 256]")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="auto",
    show_default=True,
    envvar="EDGEOPT_ENGINE",
    help="What executes it (or EDGEOPT_ENGINE); auto tries all that are installed and takes what is measured faster.",
)
@click.option("--executor", default="local", show_default=True, help="local, inline or dask://HOST:PORT.")
@click.option("--cache", type=click.Path(path_type=Path), help="Folder of earlier results. [default: ~/.cache/edgeopt]")
@click.option("--no-cache", is_flag=True, help="Compute and measure everything anew, and keep nothing.")
@click.option(
    "--measurements",
    type=click.Path(path_type=Path),
    metavar="PACKAGE",
    help="Build again on the times measured for this package, to compare the bytes.",
)
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE.html", help="Also write the report as a page.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON instead of the summary.")
@click.option("--name", help="Model name in every message. [default: the file's name]")
@click.option("--model-version", type=click.IntRange(min=1), default=1, show_default=True, help="Counts up by release.")
@click.option("--labels", type=click.Path(path_type=Path), help="Text file, one class name per line, for decisions.")
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Features of raw windows that the model takes (docs/features.md); the data are raw windows then.",
)
@click.option("--scale", type=float, default=1.0, show_default=True, help="Factor on raw input values, such as 0.0039.")
@click.option("--mean", default="0", show_default=True, help="Subtracted after scaling: one value, or one per channel.")
@click.option("--std", default="1", show_default=True, help="Divides after that: one value, or one per channel.")
def quantize(**given: Any) -> None:
    """Find the fastest form of MODEL inside an accuracy budget and write it as a package.

    With --calibration and --evaluation the result is verified in your metric. With the model alone only forms that
    need no data are tried, and the result says that its accuracy is unverified. If nothing beats float32 inside the
    budget, the package holds float32, and the table says why.

    For a board that is not here answers are verified in an emulator of its processor, and instructions are counted
    there: that shows whether a form executes fewer than float32, never milliseconds. Only --target ssh://... measures.
    """
    from rich.console import Console

    from edge_runtime.files import write_atomically
    from optimizer.cli.progress import shown_progress
    from optimizer.flow import optimize
    from optimizer.load import load_model
    from optimizer.report.terminal import print_result

    options = Options(**given)
    model = load_model(options.model)
    request = _request(options, model)
    with shown_progress(Console(stderr=True)) as progress:
        result = optimize(model, request, progress)
    path = options.output or Path(f"{options.model.stem}.edgepkg")
    page = _page(result) if options.report else None
    result.write(path)
    if options.as_json:
        click.echo(result.members[MEMBER], nl=False)
        for warning in result.cached.warnings:  # about this run, so not in the report
            click.echo(f"warning  {warning}", err=True)
    else:
        print_result(result, Console(), str(path))
    if options.report and page:
        write_atomically(options.report, page)  # last: that the package was written has been said by now


def _page(result: Result) -> bytes:
    from optimizer.report.html import page
    from optimizer.report.record import decode

    return page(decode(result.members[MEMBER])).encode()


def _request(options: Options, model: LoadedModel) -> Request:
    from optimizer import metrics
    from optimizer.api import measured
    from optimizer.cache import default_folder
    from optimizer.cli.parse import count, shapes
    from optimizer.evaluate import CONFIDENCE, Budget
    from optimizer.request import Request

    identity = _identity(options, model)
    return Request(
        calibration=_data(options.calibration, model, identity),
        evaluation=_data(options.evaluation, model, identity),
        metric=metrics.find(options.metric),
        budget=Budget.parse(options.max_drop, certain=options.confidence is not None),
        confidence=options.confidence or CONFIDENCE,
        target=options.target[0] if options.target else "local",
        more_targets=options.target[1:],
        output=options.score_output,
        shapes=shapes(options.shape),
        threads=1 if options.threads == "auto" else count("--threads", options.threads),
        tune_threads=options.threads == "auto",
        effort=options.effort,
        method=options.method,
        memory=options.memory * 1_000_000 if options.memory else None,
        require_int8="int8" in options.require,
        require_verified="verified" in options.require,
        also_float32="fp32" in options.also,
        identity=identity,
        executor=options.executor,
        engine=options.engine,
        cache=None if options.no_cache else options.cache or default_folder(),
        **(measured(options.measurements) if options.measurements else {}),
    )


def _data(spec: str | None, model: LoadedModel, identity: Identity) -> Dataset | None:
    from optimizer.data import load_dataset

    return load_dataset(spec, model.inputs, identity.preprocess, features=identity.features) if spec else None


def _identity(options: Options, model: LoadedModel) -> Identity:
    from edge_runtime.inference.features_file import load_features
    from edge_runtime.inference.postprocess import Argmax
    from edge_runtime.inference.preprocess import Preprocess
    from optimizer.cli.parse import class_names, numbers
    from optimizer.request import Identity

    mean, std = numbers("--mean", options.mean), numbers("--std", options.std)
    # Channels stand last in the 4-D inputs of TensorFlow models, first in all others.
    shape = model.inputs[0].shape if model.inputs else ()
    channels_last = len(shape) == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3)
    return Identity(
        name=options.name or options.model.stem,
        version=options.model_version,
        preprocess=Preprocess(options.scale, mean, std, channel_axis=3 if channels_last else 1),
        decision=Argmax(labels=class_names(options.labels)) if options.labels else None,
        features=load_features(options.features) if options.features else None,
    )
