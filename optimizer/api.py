"""The optimizer from Python: the command line's words, with arrays as well as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from edge_runtime.inference.engine import Array
from edge_runtime.inference.preprocess import Preprocess
from optimizer import flow, metrics
from optimizer.data import Dataset, dataset_from_arrays, load_dataset
from optimizer.evaluate import Budget
from optimizer.load import LoadedModel, load_model
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
    given = dict(words)
    identity: Identity = given.setdefault("identity", Identity())
    given["metric"] = metrics.find(given["metric"])
    given["budget"] = Budget.parse(given["budget"])
    request = Request(
        calibration=_dataset(calibration, loaded, identity.preprocess),
        evaluation=_dataset(evaluation, loaded, identity.preprocess),
        **given,
    )
    return flow.optimize(loaded, request)


def _dataset(samples: Samples, model: LoadedModel, preprocess: Preprocess) -> Dataset | None:
    if samples is None:
        return None
    if not isinstance(samples, Mapping):
        return load_dataset(str(samples), model.inputs, preprocess)
    arrays = {name: array for name, array in samples.items() if name != _LABELS}
    return dataset_from_arrays(arrays, samples.get(_LABELS), model.inputs, preprocess, "arrays")
