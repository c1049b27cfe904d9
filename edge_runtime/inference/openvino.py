"""The OpenVINO door: the only file that talks to it. It is an optional extra, so it is imported when first needed."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.inference.engine import Array, Feeds, Tensor
from edge_runtime.inference.ort import SessionSettings

INSTALL = "pip install 'edgeopt[openvino]'"
_DEVICE = "CPU"
_CONVERTER = "openvino.tools.ovc"
_OUTPUT_SUFFIX = "/sink_port_0"  # what OpenVINO's ONNX reader appends to an output's name in its node's name
_MOST_SHAPES = 4  # compiled ones; a model fed with more is served by the form that takes any shape, slower
_NOT_EXECUTED = frozenset({"Const", "Input", "Output", "Reshape"})
_ERRORS = (RuntimeError, ValueError, TypeError)  # what the binding turns OpenVINO's own exceptions into

Shapes: TypeAlias = tuple[tuple[int, ...], ...]  # of all inputs, in order


class OpenVinoEngine:
    """A model compiled by OpenVINO's CPU plugin, made from verified bytes, never from a path.

    Every set of input shapes is compiled for itself, up to four of them: static shapes are what the plugin plans
    memory and picks kernels for. The one that serves, a batch of one, is compiled when the model is loaded.

    Attributes:
        inputs: In declaration order; open dimensions have no names here.
        outputs: Likewise.

    Raises:
        BadInput: E-MODEL-LOAD, OpenVINO refused the model.
        EnvironmentFault: E-ENGINE-MISSING, OpenVINO is not installed or does not start.
    """

    def __init__(self, model: bytes, settings: SessionSettings | None = None) -> None:
        self._openvino, self._core = library(), _core()
        self._properties = _properties(settings or SessionSettings())
        try:
            self._model = self._core.read_model(model)
            self.inputs = tuple(_tensor(port, port.get_node().get_friendly_name()) for port in self._model.inputs)
            self.outputs = tuple(
                _tensor(port, port.get_node().get_friendly_name().removesuffix(_OUTPUT_SUFFIX))
                for port in self._model.outputs
            )
            first = _shapes_of_one(self.inputs)
            self._compiled: dict[Shapes | None, Any] = {first: self._compile(first)}
        except _ERRORS as error:
            raise _refused(self._openvino, _first_line(error)) from error
        if text := [str(tensor) for tensor in (*self.inputs, *self.outputs) if tensor.dtype == "str"]:
            raise _refused(self._openvino, f"text is not served with it: {', '.join(text)}")
        self._lock = threading.Lock()
        self._own = threading.local()

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Run one batch; see the contract in engine.py."""
        try:
            if len(feeds) > len(self.inputs):
                raise ValueError(f"unknown inputs: {sorted(feeds.keys() - {tensor.name for tensor in self.inputs})}")
            return self._request(tuple([feeds[tensor.name].shape for tensor in self.inputs])).run(feeds)
        except KeyError as error:
            raise _failed(f"input {error} is missing") from error
        except _ERRORS as error:
            raise _failed(_first_line(error)) from error

    def executed(self) -> list[tuple[str, str]]:
        """Return layer type and kernel of everything that an inference executes, in OpenVINO's words, in order.

        For instance ``("Convolution", "jit_avx2_I8")``; the form compiled first is the one that is looked at.
        """
        compiled = next(iter(self._compiled.values()))
        nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
        found = [(str(info["layerType"].value), str(info["primitiveType"].value)) for info in nodes]
        return [(layer, kernel) for layer, kernel in found if layer not in _NOT_EXECUTED]

    def _request(self, shapes: Shapes) -> _Request:
        """Return this thread's own request for inputs of these shapes."""
        requests: dict[Shapes | None, _Request] = self._own.__dict__.setdefault("requests", {})
        if shapes not in requests:
            key, compiled = self._compiled_for(shapes)
            if key not in requests:
                requests[key] = _Request(self._openvino, compiled.create_infer_request(), self.inputs, self.outputs)
            return requests[key]
        return requests[shapes]

    def _compiled_for(self, shapes: Shapes) -> tuple[Shapes | None, Any]:
        """Return a compiled model that takes these shapes, and which it takes; None for any."""
        for tensor, shape in zip(self.inputs, shapes, strict=True):
            if not _fits(tensor, shape):
                raise ValueError(f"an array of shape {list(shape)} is no {tensor}")
        with self._lock:
            key = shapes if shapes in self._compiled or len(self._compiled) < _MOST_SHAPES else None
            if key not in self._compiled:
                self._compiled[key] = self._compile(key)
            return key, self._compiled[key]

    def _compile(self, shapes: Shapes | None) -> Any:
        """Compile the model for inputs of these shapes; None for any."""
        model = self._model
        if shapes is not None:
            model = model.clone()
            model.reshape({place: list(shape) for place, shape in enumerate(shapes)})
        return self._core.compile_model(model, _DEVICE, self._properties)


class _Request:
    """An infer request of one thread; what has a fixed shape keeps its memory, so that a call makes no new tensors."""

    def __init__(self, openvino: ModuleType, request: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        self._tensor_of, self._request = openvino.Tensor, request
        # The compiled binding's own method; the one in Python around it wraps inputs and outputs once more.
        binding: Any = super(openvino.InferRequest.__base__, request)
        self._infer = partial(binding.infer, {}, True, False)
        compiled = request.model_inputs, request.model_outputs
        self._inputs = [
            (place, tensor.name, np.dtype(tensor.dtype), self._fixed(port, request.get_input_tensor, place))
            for place, (tensor, port) in enumerate(zip(inputs, compiled[0], strict=True))
        ]
        self._outputs = [
            (place, tensor.name, self._fixed(port, request.get_output_tensor, place))
            for place, (tensor, port) in enumerate(zip(outputs, compiled[1], strict=True))
        ]

    @staticmethod
    def _fixed(port: Any, tensor: Callable[[int], Any], place: int) -> Array | None:
        """Return the memory of an input or output as an array, None where its shape is open."""
        return tensor(place).data if port.get_partial_shape().is_static else None

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Run one batch of the shapes that this request is for."""
        for place, name, dtype, memory in self._inputs:
            if memory is not None:
                np.copyto(memory, feeds[name], casting="no")
            elif feeds[name].dtype != dtype:
                raise TypeError(f"{name} is {dtype}, not {feeds[name].dtype}")
            else:
                self._request.set_input_tensor(place, self._tensor_of(np.ascontiguousarray(feeds[name])))
        self._infer()
        return {
            name: (self._request.get_output_tensor(place).data if memory is None else memory).copy()
            for place, name, memory in self._outputs
        }


@lru_cache(maxsize=1)
def library() -> ModuleType:
    """Return OpenVINO, imported without its model converter.

    `import openvino` also loads the converter, and with it a package that can report usage to its maker. Reading ONNX
    needs neither, so both stay unloaded: nothing that could send anything is in the process.

    Raises:
        EnvironmentFault: E-ENGINE-MISSING.
    """
    hidden = _CONVERTER not in sys.modules
    if hidden:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment] # Python's own way to say: not to be imported
    try:
        return importlib.import_module("openvino")
    except (ImportError, OSError) as error:
        raise EnvironmentFault(
            "E-ENGINE-MISSING", f"OpenVINO is not installed or does not start: {_first_line(error)}", INSTALL
        ) from error
    finally:
        if hidden:
            del sys.modules[_CONVERTER]


def version() -> str:
    """Return the release, such as ``2026.4.1``.

    Raises:
        EnvironmentFault: E-ENGINE-MISSING.
    """
    return str(library().__version__).partition("-")[0]


@lru_cache(maxsize=1)
def _core() -> Any:
    """Return the process's one core: making one reads every plugin anew."""
    return library().Core()


def _properties(settings: SessionSettings) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": settings.threads,
        "ENABLE_CPU_PINNING": False,  # other pipelines' models would be pinned to the same cores
        "INFERENCE_PRECISION_HINT": "f32",  # on Arm and on server processors the plugin would take 16 bits by itself
        "EXECUTION_MODE_HINT": "ACCURACY",
        **settings.config,
    }


def _shapes_of_one(inputs: Sequence[Tensor]) -> Shapes | None:
    """Return the shapes of a batch of one; None where more than the batch is open."""
    shapes = [(1, *tensor.shape[1:]) if tensor.has_dynamic_batch() else tensor.shape for tensor in inputs]
    fixed = [tuple(size for size in shape if isinstance(size, int)) for shape in shapes]
    return tuple(fixed) if list(map(len, fixed)) == list(map(len, shapes)) else None


def _fits(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    return len(shape) == len(tensor.shape) and all(
        isinstance(wanted, str) or wanted == size for wanted, size in zip(tensor.shape, shape, strict=True)
    )


def _tensor(port: Any, name: str) -> Tensor:
    shape = tuple(size.get_length() if size.is_static else "?" for size in port.get_partial_shape())
    kind = port.get_element_type()
    words = kind.get_type_name()
    return Tensor(name, {"boolean": "bool", "string": "str"}.get(words) or np.dtype(kind.to_dtype()).name, shape)


def _refused(openvino: ModuleType, reason: str) -> BadInput:
    return BadInput(
        "E-MODEL-LOAD",
        f"OpenVINO {str(openvino.__version__).partition('-')[0]} cannot load the model: {reason}",
        "serve it with onnxruntime: `edgeopt quantize --engine onnxruntime`",
    )


def _failed(reason: str) -> BadInput:
    return BadInput(
        "E-INFERENCE",
        f"the model failed on this input: {reason}",
        "compare the input's shape and dtype with `edgeopt inspect MODEL`",
    )


def _first_line(error: Exception) -> str:
    """Return the line of OpenVINO's words that says most; the first ones name its own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    summary = [line for line in lines if line.startswith(("-- Conversion is failed for", "-- No conversion rule"))]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '", "FrontEnd API"))]
    return next(iter(summary or told or lines), type(error).__name__).removeprefix("-- ")[:300]
