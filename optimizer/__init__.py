"""Turn a trained ONNX model and data into the best package for a target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.api import Data
    from optimizer.result import Result

__all__ = ["optimize"]


def optimize(
    model: str | Path,
    data: Data = None,
    metric: str = "agreement",
    target: str | Sequence[str] = "local",
    budget: str = "1pt",
    **options: Any,
) -> Result:
    """Find the fastest form of a model inside an accuracy budget; what `edgeopt quantize` does, from Python.

    Args:
        model: An .onnx file.
        data: Samples to calibrate on, or a pair (samples to calibrate on, samples to judge with). Each is a file, a
            folder or ``module:function`` as on the command line, or arrays by input name, labels as ``y``.
        metric: A built-in metric, or ``module:function``.
        target: A machine as `--target` names it, or several.
        budget: What may be lost: ``1pt`` or ``1%``.
        options: Further fields of `optimizer.request.Request`, such as ``effort="thorough"``.

    Raises:
        EdgeoptError: one of those in docs/errors.md; nothing is written.
    """
    from optimizer import api  # noqa: PLC0415 - `edgeopt --help` must not import numpy and onnx

    return api.run(model, data, {"metric": metric, "target": target, "budget": budget, **options})
