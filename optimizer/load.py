"""The user's model in: checked, self-contained, fingerprinted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import load_external_data_for_model, uses_external_data

from edge_runtime.errors import BadInput, EdgeoptError, EnvironmentFault
from edge_runtime.inference.engine import Tensor
from edge_runtime.inference.ort import OrtEngine
from optimizer.graph import float_weights, nodes

MAX_MODEL_BYTES = (1 << 31) - 1  # a protobuf message cannot be larger

_EXPORT_AGAIN = "export the model again from the training framework, or copy it again from where it came"
_LFS_POINTER = b"version https://git-lfs"
_QUANTIZED_OPS = frozenset(
    {
        "ConvInteger",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "MatMulNBits",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)


@dataclass(frozen=True)
class LoadedModel:
    """A model onnxruntime can run.

    Attributes:
        path: The user's file.
        data: The model as self-contained bytes, external data included.
        file_bytes: Size on disk, external data included.
        opset: Version of the default operator set.
        inputs: Inputs in declaration order.
        outputs: Outputs in declaration order.
        operators: Operator type -> count, subgraphs included.
        weights: Number of constant float32 weights that multiplying operators use.
        already_quantized: Quantized operators found, empty for a float model.
    """

    path: Path
    data: bytes
    file_bytes: int
    opset: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]
    weights: int
    already_quantized: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """Return the digest of the self-contained bytes."""
        return hashlib.sha256(self.data).hexdigest()


def load_model(path: Path) -> LoadedModel:
    """Read a model and make sure onnxruntime runs it.

    Raises:
        BadInput: E-MODEL-NOT-FOUND, E-MODEL-NOT-ONNX, E-MODEL-CORRUPT, E-MODEL-EXTERNAL-DATA, E-MODEL-OPSET,
            E-MODEL-TOO-LARGE or E-MODEL-LOAD.
        EnvironmentFault: E-FILE-READ.
    """
    raw = _read(path)
    model = _parse(path, raw)
    external = sorted(
        {
            entry.value
            for tensor in _external_tensors(model)
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )
    sizes = _load_external(path, model, external)
    opset = _check_opset(path, model)
    data = model.SerializeToString() if external else raw
    engine = _engine(path, data)
    operators = count_operators(model.graph)
    return LoadedModel(
        path=path,
        data=data,
        file_bytes=len(raw) + sum(sizes),
        opset=opset,
        inputs=engine.inputs,
        outputs=engine.outputs,
        operators=operators,
        weights=len(float_weights(model.graph)),
        already_quantized=tuple(sorted(_QUANTIZED_OPS & set(operators))),
    )


def count_operators(graph: onnx.GraphProto) -> dict[str, int]:
    """Return operator type -> count, most frequent first, control-flow bodies included."""
    counts: dict[str, int] = {}
    for node in nodes(graph):
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise _too_large(path)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadInput("E-MODEL-NOT-FOUND", f"there is no file {path}", "check the path: ls *.onnx") from error
    except OSError as error:
        raise EnvironmentFault(
            "E-FILE-READ", f"cannot read {path}: {error.strerror}", "check the path and its permissions"
        ) from error


def _parse(path: Path, raw: bytes) -> onnx.ModelProto:
    """Parse the protobuf; bytes that never were ONNX are told apart from a damaged model."""
    if raw.startswith(_LFS_POINTER):
        raise BadInput(
            "E-MODEL-NOT-ONNX", f"{path} is a Git LFS pointer, not the model", f"git lfs pull --include {path}"
        )
    try:
        model = onnx.load_model_from_string(raw)
    except DecodeError as error:
        if _looks_like_onnx(raw):
            raise _corrupt(path, "its protobuf ends too early or is damaged") from error
        raise _not_onnx(path) from error
    if not model.graph.node:
        raise _corrupt(path, "it has no operators") if _looks_like_onnx(raw) else _not_onnx(path)
    return model


def _looks_like_onnx(raw: bytes) -> bool:
    """Tell whether the bytes begin as exporters begin a model: field 1 (ir_version), a small varint."""
    return len(raw) > 2 and raw[0] == 0x08 and raw[1] < 0x80


def _external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor stored outside the file: initializers and attributes, in bodies and functions too."""
    attributes = [a for node in nodes(model.graph) for a in node.attribute]
    attributes += [a for function in model.functions for node in function.node for a in node.attribute]
    tensors = [*model.graph.initializer, *(t for a in attributes for t in (a.t, *a.tensors))]
    tensors += [t for a in attributes for body in (a.g, *a.graphs) for t in body.initializer]
    yield from (tensor for tensor in tensors if uses_external_data(tensor))


def _load_external(path: Path, model: onnx.ModelProto, locations: list[str]) -> list[int]:
    """Read external data into the model and return the files' sizes in bytes."""
    files = [path.parent / location for location in locations]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise BadInput(
            "E-MODEL-EXTERNAL-DATA",
            f"{path} keeps its weights in {', '.join(missing)}, which is missing",
            f"copy that file into {path.parent.absolute()}, or save the model as one file",
        )
    sizes = [file.stat().st_size for file in files]
    if sum(sizes) > MAX_MODEL_BYTES:
        raise _too_large(path)
    if not files:
        return []
    try:
        load_external_data_for_model(model, str(path.parent))
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        raise BadInput(
            "E-MODEL-EXTERNAL-DATA", f"{path}: its external data cannot be read: {error}", _EXPORT_AGAIN
        ) from error
    return sizes


def _check_opset(path: Path, model: onnx.ModelProto) -> int:
    version = next((opset.version for opset in model.opset_import if opset.domain in {"", "ai.onnx"}), 0)
    if version > onnx.defs.onnx_opset_version():
        raise _opset(path, f"it needs opset {version}; the newest known here is {onnx.defs.onnx_opset_version()}")
    return version


def _engine(path: Path, data: bytes) -> OrtEngine:
    try:
        return OrtEngine(data)
    except EdgeoptError as error:
        if "opset" in error.message.lower():
            raise _opset(path, error.message) from error
        raise BadInput(error.code, f"{path}: {error.message}", error.fix) from error


def _opset(path: Path, what: str) -> BadInput:
    fix = "export with an older opset (17 runs everywhere), or upgrade: pip install -U onnx onnxruntime"
    return BadInput("E-MODEL-OPSET", f"{path}: {what}", fix)


def _not_onnx(path: Path) -> BadInput:
    return BadInput(
        "E-MODEL-NOT-ONNX",
        f"{path} is not an ONNX model",
        "give the .onnx file; to make one from PyTorch use torch.onnx.export, from TensorFlow tf2onnx",
    )


def _corrupt(path: Path, what: str) -> BadInput:
    return BadInput("E-MODEL-CORRUPT", f"{path} begins like an ONNX model but is not whole: {what}", _EXPORT_AGAIN)


def _too_large(path: Path) -> BadInput:
    return BadInput(
        "E-MODEL-TOO-LARGE",
        f"{path} holds more than 2 GiB, the most one ONNX file can hold",
        "quantize a smaller model; models above 2 GiB are not supported yet",
    )
