"""`edgeopt quantize`: the command users type first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from optimizer.data import Dataset
    from optimizer.load import LoadedModel
    from optimizer.request import Identity, Request
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
    target: str
    output: Path | None
    effort: Effort
    require: str | None
    score_output: str | None
    shape: tuple[str, ...]
    threads: int
    name: str | None
    model_version: int
    labels: Path | None
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
@click.option("--target", default="local", show_default=True, help="The machine it is for; a wrong name lists all.")
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
@click.option("--require", type=click.Choice(["int8"]), help="Fail with exit status 4 rather than keep float32.")
@click.option("--score-output", metavar="NAME", help="Output the metric looks at. [default: the first float output]")
@click.option("--shape", multiple=True, metavar="NAME=1,3,224,224", help="Shape of an open input, without data.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="To measure and serve with.")
@click.option("--name", help="Model name in every message. [default: the file's name]")
@click.option("--model-version", type=click.IntRange(min=1), default=1, show_default=True, help="Counts up by release.")
@click.option("--labels", type=click.Path(path_type=Path), help="Text file, one class name per line, for decisions.")
@click.option("--scale", type=float, default=1.0, show_default=True, help="Factor on raw input values, such as 0.0039.")
@click.option("--mean", default="0", show_default=True, help="Subtracted after scaling: one value, or one per channel.")
@click.option("--std", default="1", show_default=True, help="Divides after that: one value, or one per channel.")
def quantize(**given: Any) -> None:
    """Find the fastest form of MODEL inside an accuracy budget and write it as a package.

    With --calibration and --evaluation the result is verified in your metric. With the model alone only forms that
    need no data are tried, and the result says that its accuracy is unverified. If nothing beats float32 inside the
    budget, the package holds float32, and the table says why.
    """
    from rich.console import Console

    from optimizer.cli.progress import shown_progress
    from optimizer.flow import optimize
    from optimizer.load import load_model
    from optimizer.report.terminal import print_result

    options = Options(**given)
    console = Console()
    model = load_model(options.model)
    request = _request(options, model)
    with shown_progress(Console(stderr=True)) as progress:
        result = optimize(model, request, progress)
    path = options.output or Path(f"{options.model.stem}.edgepkg")
    result.write(path)
    print_result(result, console, str(path))


def _request(options: Options, model: LoadedModel) -> Request:
    from optimizer import metrics
    from optimizer.cli.parse import shapes
    from optimizer.evaluate import CONFIDENCE, Budget
    from optimizer.request import Request

    identity = _identity(options, model)
    return Request(
        calibration=_data(options.calibration, model, identity),
        evaluation=_data(options.evaluation, model, identity),
        metric=metrics.find(options.metric),
        budget=Budget.parse(options.max_drop, certain=options.confidence is not None),
        confidence=options.confidence or CONFIDENCE,
        target=options.target,
        output=options.score_output,
        shapes=shapes(options.shape),
        threads=options.threads,
        effort=options.effort,
        require_int8=options.require == "int8",
        identity=identity,
    )


def _data(spec: str | None, model: LoadedModel, identity: Identity) -> Dataset | None:
    from optimizer.data import load_dataset

    return load_dataset(spec, model.inputs, identity.preprocess) if spec else None


def _identity(options: Options, model: LoadedModel) -> Identity:
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
    )
