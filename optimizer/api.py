"""The optimizer from Python: the command line's words, with arrays as well as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from edge_runtime.inference.engine import Array
from edge_runtime.package import archive
from optimizer import flow, metrics
from optimizer.data import Dataset, dataset_from_arrays, dataset_of_windows, load_dataset
from optimizer.evaluate import Budget
from optimizer.load import LoadedModel, load_model
from optimizer.report.record import of_package
from optimizer.request import Identity, Request
from optimizer.result import Result

Samples: TypeAlias = str | Path | Mapping[str, Array] | None
Data: TypeAlias = Samples | tuple[Samples, Samples]

_LABELS = "y"


def run(model: str | Path, data: Data, words: Mapping[str, Any]) -> Result:
    """Optimize; see `optimizer.optimize`.

    Args:
        model: An .onnx file.
        data: Samples, or a pair (calibration, evaluation).
        words: ``metric``, ``budget`` and further fields of a request.
    """
    loaded = load_model(Path(model))
    calibration, evaluation = data if isinstance(data, tuple) else (data, None)
    given = _fields(words)
    identity: Identity = given.setdefault("identity", Identity())
    request = Request(
        calibration=_dataset(calibration, loaded, identity),
        evaluation=_dataset(evaluation, loaded, identity),
        **given,
    )
    return flow.optimize(loaded, request)


def measured(package: Path) -> dict[str, Any]:
    """Return the measurements of a package and the machine they were taken on, as fields of a request.

    Raises:
        EdgeoptError: those of reading a package and its report.
    """
    found = of_package(package, archive.read(package))
    return {"measurements": found.timings, "machine": found.machine}


def _fields(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request for what was said in the command line's words."""
    given = dict(words)
    given["metric"] = metrics.find(given["metric"])
    given["budget"] = Budget.parse(given["budget"], certain=given.get("confidence") is not None)
    if not isinstance(given.get("target", ""), str):
        given["target"], *more = given["target"]
        given["more_targets"] = tuple(more)
    if given.get("threads") == "auto":
        given.update(threads=1, tune_threads=True)
    if given.get("cache") is not None:
        given["cache"] = Path(given["cache"])
    if isinstance(given.get("measurements"), str | Path):
        given.update(measured(Path(given["measurements"])))
    return {name: value for name, value in given.items() if value is not None}


def _dataset(samples: Samples, model: LoadedModel, identity: Identity) -> Dataset | None:
    preprocess, features = identity.preprocess, identity.features
    if samples is None:
        return None
    if not isinstance(samples, Mapping):
        return load_dataset(str(samples), model.inputs, preprocess, features=features)
    arrays = {name: array for name, array in samples.items() if name != _LABELS}
    if features is not None:
        return dataset_of_windows(arrays, samples.get(_LABELS), model.inputs, preprocess, features)
    return dataset_from_arrays(arrays, samples.get(_LABELS), model.inputs, preprocess, "arrays")
