"""Models whose instructions are on file: each as given and in int8, made the same way every time, nothing timed.

`python tests/benchmarks/instructions/fixed_forms.py FOLDER` writes them, for `python -m benchmarks.instructions`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.remote import Form
from edge_runtime.inference.engine import Array
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of
from optimizer.data import Dataset
from optimizer.demo import data as demo
from optimizer.load import load_model
from optimizer.protect import protected
from optimizer.quantize import quantize, tensors_to_observe
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static
from optimizer.simplify import simplify

ASSETS = ("cifar10_resnet8", "kws_dscnn", "turbofan_rul")
_SAMPLES = 64


def of_demo() -> list[Form]:
    """Return the forms of the demo's model, which is always there."""
    return _forms("bearing", demo.MODEL, demo.calibration())


def of_asset(assets: Path, name: str) -> list[Form]:
    """Return the forms of a shared model."""
    calibration = next((assets / name).glob("calib*.npz"))
    with np.load(calibration) as arrays:
        return _forms(name, assets / name / "model.onnx", arrays["x"])


def _forms(name: str, file: Path, calibration: Array) -> list[Form]:
    model = load_model(file)
    (tensor,) = model.inputs
    samples = calibration[:_SAMPLES].astype(tensor.dtype)
    base = simplify(model.data, {tensor.name: samples[:1]}).data
    dataset = Dataset({tensor.name: samples}, None, name)
    histograms = observe(base, tensors_to_observe(base), dataset, lambda done, total: None)
    recipe = Recipe(Int8Static(), method="minmax", keep_float=tuple(protected(base, histograms)))
    int8 = quantize(base, recipe, ranges_of(histograms, recipe.method))
    return [Form(f"{name}.fp32", model.data), Form(f"{name}.int8", int8)]


if __name__ == "__main__":
    here = Path(__file__).resolve().parents[4] / "shared" / "assets"
    for form in (*of_demo(), *(form for name in ASSETS for form in of_asset(here, name))):
        Path(sys.argv[1], f"{form.name}.onnx").write_bytes(form.model)
