"""Reports made by hand: one with every part filled, one with none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.report.ranges import range_of
from optimizer.report.record import (
    SCHEMA,
    Data,
    Form,
    Kernels,
    Layer,
    Lint,
    Model,
    Operators,
    Options,
    Range,
    Repair,
    Report,
    Rewrite,
    Score,
    Span,
)


@dataclass
class Seen:
    """A calibration histogram."""

    low: float
    high: float
    edge_low: float
    width: float
    counts: NDArray[np.int64]


def seen(values: NDArray[np.float64], bins: int = 2048) -> Seen:
    """Return the histogram of some values."""
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, bins, (low, high))
    return Seen(low, high, low, (high - low) / bins, counts.astype(np.int64))


def full_report(name: str = "pump", layers: int = 12) -> Report:
    """Return a report with every part filled; `name` also names layers, tensors and files."""
    random = np.random.default_rng(0)
    return Report(
        schema=SCHEMA,
        model=Model(name, 3, f"{name}.onnx", 321211, 17, "ab" * 32),
        target="raspberry-pi-5",
        machine="a processor, x86_64, 2 cores",
        label="measured",
        chosen_because="fastest form inside the budget: 2.22 x float32",
        forms=_forms(),
        options=Options("top1", True, "1pt", 0.01, False, 0.95, "default", "mse", 1),
        data=(Data("calibration", f"{name}.npz", 500, "cd" * 32),),
        lint=(Lint("L-CHANNELS", f"{name}: 3 input channels", "pad them to 4"),),
        rewrites=(
            Rewrite(f"fold {name}", True, "unchanged", Span(1.02, 1.0, 1.04)),
            Rewrite("merge", False, "differs"),
        ),
        operators=Operators({"Conv": 9, name: 1}, {"Conv": 9}, {"QLinearConv": 9}),
        repairs=(Repair("ranges by entropy", False, 0.0135, 0.018), Repair("ranges by error", True, 0.0135, 0.0065)),
        layers=tuple(_layer(index, name, random) for index in range(layers)),
        ranges=tuple(_range(index, name, random) for index in range(layers)),
        warnings=(f"{name}: measured here, not on raspberry-pi-5",),
        tools={"onnxruntime": "1.32.0", "edgeopt": "0.1.0"},
    )


def empty_report() -> Report:
    """Return a report in which every part that may be absent is."""
    model = Model("pump", 1, "pump.onnx", 100, None, "ab" * 32)
    return Report(SCHEMA, model, "local", "a processor", "measured", "it is the only one", ())


def _score(value: float, loss: float) -> Score:
    return Score("top1", value, value - 0.014, value + 0.014, 0.879, loss, loss - 0.005, loss + 0.005, 2000, 0.95)


def _near(value: float) -> Span:
    return Span(value, value * 0.97, value * 1.03)


def _forms() -> tuple[Form, ...]:
    out = "top1 0.8655 against 0.8790 is outside the budget of 1pt"
    return (
        Form("fp32", "as given", 321211, _near(0.427), Span(1, 1, 1), _score(0.879, 0.0), pareto=True),
        Form("cpu-u8s8", "int8 static", 93942, _near(0.191), _near(2.23), _score(0.8655, 0.0135), out),
        Form("cpu-u8s8-entropy", "int8, ranges by entropy", 93942, None, None, _score(0.861, 0.018), out),
        Form(
            *("cpu-u8s8-mse", "int8, ranges by error", 93942, _near(0.192), _near(2.22), _score(0.8725, 0.0065)),
            pareto=True,
            chosen=True,
            kernels=Kernels(9, 1, 4),
        ),
        Form("cpu-dynamic-u8s8", "int8 dynamic", rejected="does not run: no kernel"),
    )


def _layer(index: int, name: str, random: np.random.Generator) -> Layer:
    loss, gain = float(10 ** random.uniform(-5, -1)), float(random.normal(0.01, 0.01))
    if index == 0:
        return Layer(
            f"/{name}/0/Conv", "Conv", "float32", "kept in float32: it loses most", loss, gain, 40.0, -3.0, 5.0
        )
    return Layer(f"/{name}/{index}/Conv", "Conv", "int8", "input and weights are quantized", loss, gain, 4.0, 0.0, 6.0)


def _range(index: int, name: str, random: np.random.Generator) -> Range:
    values = random.normal(0, 1, 5000) ** 3
    found = seen(values)
    return range_of(f"/{name}/{index}/out", found, (max(found.low, -4.0 - index), found.high), "mse")
