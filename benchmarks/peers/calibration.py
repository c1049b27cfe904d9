"""Calibration against onnxruntime's: time, processor time and memory, in one interleaved run.

    python -m benchmarks.peers.calibration --model cifar10_resnet8/model.onnx --data cifar10_resnet8/calib_500.npz

Every measurement has a process of its own. In it, everything is imported and loaded, then the process forks: a fork's
peak memory counts from what is resident at that moment, so its growth is what calibration itself takes. Both sides
watch the same tensors of the same simplified model with the same samples, and end with a range for every tensor:
onnxruntime's by the one method, with its defaults, ours by `auto`, which takes for each tensor what errs least.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.calibrate import CalibrationMethod, HistogramCalibrater, create_calibrator

from edge_runtime.inference.ort import OrtEngine
from optimizer.calibrate.observe import observe
from optimizer.calibrate.ranges import ranges_of
from optimizer.data import Dataset
from optimizer.quantize import tensors_to_observe
from optimizer.simplify import simplify

OURS, PEERS = "ours", ("Percentile", "Entropy")
MOST_TIME, MOST_MEMORY, MOST_GROWTH = 0.4, 0.25, 1.1  # what the release promises
_GROWTH = (50, 500, 5000)


@dataclass(frozen=True)
class Cost:
    """What one calibration took: seconds by the clock, seconds of all processors, bytes above what was loaded."""

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True)
class Repeated:
    """A lazy array of any length, made of a few samples over and over; only slices of it ever exist."""

    samples: NDArray[np.float32]
    length: int

    @property
    def ndim(self) -> int:
        """Return the number of axes, samples included."""
        return self.samples.ndim

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        return self.samples[np.arange(*part.indices(self.length)) % len(self.samples)]


def main(arguments: list[str]) -> None:
    """Run all measurements and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="a real model with one input")
    parser.add_argument("--data", type=Path, required=True, help="its samples: .npz with an array x")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="edgeopt-") as folder:
        real, synthetic = Path(folder, options.model.parent.name), Path(folder, "mobilenet_96")
        with np.load(options.data) as archive:
            _prepare(real, options.model.read_bytes(), archive["x"][: options.samples].astype(np.float32))
        images = np.random.default_rng(0).normal(0, 1, (options.samples, 3, 96, 96)).astype(np.float32)
        _prepare(synthetic, mobilenet(), images)
        for case in (real, synthetic):
            costs = _interleaved(case, options.samples, options.rounds)
            _say(f"\n{case.name}, {options.samples} samples, medians of {options.rounds} interleaved rounds\n")
            _say(f"{'':12} {'wall s':>8} {'cpu s':>8} {'MB':>8} {'wall':>7} {'cpu':>7} {'memory':>7}  ours / peer\n")
            for tool, of_tool in costs.items():
                _say(_row(tool, of_tool, costs[OURS]))
        _say(_growth(real, options.rounds))


def _prepare(folder: Path, model: bytes, samples: NDArray[np.float32]) -> None:
    folder.mkdir()
    name = OrtEngine(model).inputs[0].name
    (folder / "model.onnx").write_bytes(simplify(model, {name: samples[:1]}).data)
    np.save(folder / "samples.npy", samples)


def _interleaved(case: Path, samples: int, rounds: int) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {tool: [] for tool in (OURS, *PEERS)}
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for tool in order.permutation(list(costs)):
            costs[str(tool)].append(_measure(case, str(tool), samples))
    return costs


def _growth(case: Path, rounds: int) -> str:
    """Return our memory by number of samples: medians of interleaved rounds, since one run differs by some percent."""
    rounded = [[_measure(case, OURS, count).memory for count in _GROWTH] for _ in range(rounds)]
    medians = [statistics.median(column) for column in zip(*rounded, strict=True)]
    told = ", ".join(f"{count}: {_megabytes(memory)}" for count, memory in zip(_GROWTH, medians, strict=True))
    held = _held(max(medians) / min(medians), MOST_GROWTH)
    return f"\n{case.name}, ours, MB by number of samples: {told}; largest / smallest {held}\n"


def _measure(case: Path, tool: str, samples: int) -> Cost:
    command = [sys.executable, "-m", "benchmarks.peers.calibration", "--child", str(case), tool, str(samples)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Cost(**json.loads(ended.stdout.splitlines()[-1]))


def _row(tool: str, costs: list[Cost], ours: list[Cost]) -> str:
    wall, cpu, memory = ([getattr(cost, name) for cost in costs] for name in ("wall", "cpu", "memory"))
    middle = f"{statistics.median(wall):8.2f} {statistics.median(cpu):8.2f} {_megabytes(statistics.median(memory)):>8}"
    if costs is ours:
        return f"{tool:12} {middle}\n"
    ratios = [
        statistics.median(getattr(mine, name) / getattr(cost, name) for mine, cost in zip(ours, costs, strict=True))
        for name in ("wall", "cpu", "memory")
    ]
    held = f"time {_held(ratios[0], MOST_TIME)}, memory {_held(ratios[2], MOST_MEMORY)}"
    return f"{tool:12} {middle} {ratios[0]:7.3f} {ratios[1]:7.3f} {ratios[2]:7.3f}  {held}\n"


def _held(ratio: float, most: float) -> str:
    return f"{ratio:.3f} {'holds' if ratio <= most else 'DOES NOT HOLD'} (at most {most})"


def _megabytes(memory: float) -> str:
    return f"{memory / 1e6:.1f}"


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def child(case: Path, tool: str, count: int) -> None:
    """Calibrate once and print the cost as JSON."""
    data, samples = (case / "model.onnx").read_bytes(), np.load(case / "samples.npy")
    tensors = tensors_to_observe(data)
    name = onnx.load_model_from_string(data).graph.input[0].name
    if tool == OURS:
        lazy = cast("NDArray[Any]", Repeated(samples, count))
        _in_fork(lambda: _ours(data, tensors, Dataset({name: lazy}, None, "samples.npy")))
    else:
        _in_fork(lambda: _onnxruntime(case, tool, tensors, {name: samples[:count]}))


def _in_fork(work: Callable[[], int]) -> None:
    process = os.fork()
    if process:
        os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        return
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    ranges = work()
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    if ranges:
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        memory = (after.ru_maxrss - before.ru_maxrss) * 1024
        _say(json.dumps({"wall": wall, "cpu": cpu, "memory": memory}) + "\n")
    os._exit(0)


def _ours(data: bytes, tensors: list[str], samples: Dataset) -> int:
    return len(ranges_of(observe(data, tensors, samples, lambda done, total: None), "auto"))


class _OneByOne:
    """What onnxruntime calls a data reader: one sample a call, then None."""

    def __init__(self, feeds: dict[str, NDArray[np.float32]]) -> None:
        self._samples: Iterator[dict[str, NDArray[np.float32]]] = (
            {name: array[index : index + 1] for name, array in feeds.items()}
            for index in range(len(next(iter(feeds.values()))))
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next sample."""
        return next(self._samples, None)


def _onnxruntime(case: Path, method: str, tensors: list[str], feeds: dict[str, NDArray[np.float32]]) -> int:
    def same_tensors(_: HistogramCalibrater, model: onnx.ModelProto) -> tuple[set[str], dict[str, onnx.ValueInfoProto]]:
        values = [*model.graph.value_info, *model.graph.output, *model.graph.input]
        return set(tensors), {value.name: value for value in values}

    HistogramCalibrater.select_tensors_to_calibrate = same_tensors
    with tempfile.TemporaryDirectory(prefix="edgeopt-") as folder:
        augmented = str(Path(folder, "augmented.onnx"))
        how = CalibrationMethod[method]
        calibrator = create_calibrator(case / "model.onnx", augmented_model_path=augmented, calibrate_method=how)
        calibrator.collect_data(_OneByOne(feeds))
        return len(calibrator.compute_data().data)


def mobilenet() -> bytes:
    """Return a float32 network of MobileNetV2's form, [N,3,96,96] -> [N,1000], with seeded weights."""
    net = _Net()
    x = net.conv("x", 32, 3, stride=2)
    for expand, channels, repeats, stride in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for index in range(repeats):
            x = net.inverted_residual(x, expand, channels, stride if index == 0 else 1)
    x = net.conv(x, 1280, 1)
    x = net.node("Flatten", [net.node("GlobalAveragePool", [x])])
    weight = net.weight((1280, 1000), 1280)
    net.nodes.append(helper.make_node("MatMul", [x, weight], ["y"], "classifier"))
    graph = helper.make_graph(
        net.nodes,
        "mobilenet_96",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 96, 96])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1000])],
        net.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


class _Net:
    """A network in the making; every method returns the name of the tensor it adds."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)
        self._channels = {"x": 3}

    def weight(self, shape: tuple[int, ...], fan_in: int) -> str:
        """Add normal weights that keep the signal's power through a ReLU."""
        name = f"w{len(self.weights)}"
        values = self._random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node of one output."""
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def conv(self, x: str, channels: int, size: int, stride: int = 1, group: int = 1, relu: bool = True) -> str:
        """Add a convolution and its ReLU."""
        per_group = self._channels[x] // group
        weight = self.weight((channels, per_group, size, size), per_group * size * size)
        pads = [size // 2] * 4
        y = self.node("Conv", [x, weight], pads=pads, strides=[stride, stride], group=group)
        y = self.node("Relu", [y]) if relu else y
        self._channels[y] = channels
        return y

    def inverted_residual(self, x: str, expand: int, channels: int, stride: int) -> str:
        """Add MobileNetV2's block: wider, depthwise, narrower, and around it where the shape stays."""
        wide = self._channels[x] * expand
        y = self.conv(x, wide, 1) if expand > 1 else x
        y = self.conv(y, wide, 3, stride, group=wide)
        y = self.conv(y, channels, 1, relu=False)
        if stride == 1 and self._channels[x] == channels:
            y = self.node("Add", [x, y])
            self._channels[y] = channels
        return y


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main(sys.argv[1:])
