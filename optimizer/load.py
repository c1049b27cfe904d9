"""The user's model in: checked, self-contained, fingerprinted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import inliner
from onnx.external_data_helper import load_external_data_for_model

from edge_runtime.errors import BadInput, EdgeoptError, EnvironmentFault
from edge_runtime.inference.engine import Tensor
from edge_runtime.inference.ort import OrtEngine
from optimizer import load_large
from optimizer.external_data import extent_of, external_tensors, files_of, unreadable
from optimizer.graph import float_weights, nodes

MAX_MODEL_BYTES = (1 << 31) - 1  # a protobuf message cannot be larger

_EXPORT_AGAIN = "export the model again from the training framework, or copy it again from where it came"
_RUNTIME_DOMAINS = ("com.microsoft", "com.ms.", "ai.onnx.", "org.pytorch.aten")  # built into onnxruntime
_OLD_EXPERIMENTS = frozenset({"Affine", "Crop", "DynamicSlice", "ImageScaler", "ParametricSoftplus", "ScaledTanh"})
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
        reduced_from: Digest of the user's files where they hold more than 2 GiB, and `data` is the model with its
            weights as int8; None for a model as it was given.
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
    reduced_from: str | None = None

    @cached_property
    def sha256(self) -> str:
        """Return the digest of the self-contained bytes, or of the files of a model that has none."""
        return self.reduced_from or hashlib.sha256(self.data).hexdigest()


def load_model(path: Path) -> LoadedModel:
    """Read a model and make sure onnxruntime runs it.

    Raises:
        BadInput: E-MODEL-NOT-FOUND, E-MODEL-NOT-ONNX, E-MODEL-CORRUPT, E-MODEL-EXTERNAL-DATA, E-MODEL-OPSET,
            E-MODEL-TOO-LARGE or E-MODEL-LOAD.
        EnvironmentFault: E-FILE-READ.
    """
    raw = _read(path)
    model = _parse(path, raw)
    files = files_of(path, model)
    size = len(raw) + sum(file.stat().st_size for file in files)
    opset = _check_opset(path, model)
    operators, weights = count_operators(model.graph), len(float_weights(model.graph))
    large = size > MAX_MODEL_BYTES
    if large:
        load_large.reduce(path, model, opset)
    elif files:
        _load_external(path, model)
    inlined = bool(model.functions) and not large
    if inlined:
        model = _inlined(path, model)
        operators, weights = count_operators(model.graph), len(float_weights(model.graph))
    unknown = unknown_operators(model)
    data = model.SerializeToString() if files or inlined else raw
    del model  # of a large model this is as much as its bytes
    engine = _engine(path, data, unknown)
    return LoadedModel(
        path=path,
        data=data,
        file_bytes=size,
        opset=opset,
        inputs=engine.inputs,
        outputs=engine.outputs,
        operators=operators,
        weights=weights,
        already_quantized=tuple(sorted(_QUANTIZED_OPS & set(operators))),
        reduced_from=load_large.digest([path, *files]) if large else None,
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
            raise load_large.too_large(
                path, "and has it in a single file", "save its weights beside it, as external data in one file"
            )
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


def _load_external(path: Path, model: onnx.ModelProto) -> None:
    """Read external data into the model."""
    for tensor in external_tensors(model):
        extent_of(path, tensor)
    try:
        load_external_data_for_model(model, str(path.parent))
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        raise unreadable(path, str(error)) from error


def _inlined(path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its own functions written out: no later step then has to know of functions."""
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        names = ", ".join(sorted({function.name for function in model.functions})[:5])
        raise BadInput(
            "E-MODEL-LOAD", f"{path}: its functions ({names}) cannot be written out: {error}", _EXPORT_AGAIN
        ) from error


def unknown_operators(model: onnx.ModelProto) -> list[str]:
    """Return operators neither ONNX nor onnxruntime defines, as ``domain::Operator``."""
    own = {(function.domain, function.name) for function in model.functions}
    used = {(node.domain, node.op_type) for node in nodes(model.graph)} - own
    return sorted(f"{domain or 'ai.onnx'}::{name}" for domain, name in used if not _is_known(domain, name))


def _is_known(domain: str, name: str) -> bool:
    if not isinstance(name, str) or not isinstance(domain, str):
        return False  # protobuf gives bytes where a damaged model's text is not UTF-8
    standard = "" if domain == "ai.onnx" else domain
    if standard in {"", "ai.onnx.ml"}:
        # Gelu and others of newer sets, and experiments of old ones, are onnxruntime's to judge.
        return onnx.defs.has(name, domain=standard) or name in _OLD_EXPERIMENTS
    return domain.startswith(_RUNTIME_DOMAINS)


def _check_opset(path: Path, model: onnx.ModelProto) -> int:
    version = next((opset.version for opset in model.opset_import if opset.domain in {"", "ai.onnx"}), 0)
    if version > onnx.defs.onnx_opset_version():
        raise _opset(path, f"it needs opset {version}; the newest known here is {onnx.defs.onnx_opset_version()}")
    return version


def _engine(path: Path, data: bytes, unknown: list[str]) -> OrtEngine:
    try:
        return OrtEngine(data)
    except EdgeoptError as error:
        if unknown:
            raise BadInput(
                "E-MODEL-LOAD",
                f"{path} uses operators that onnxruntime does not have: {', '.join(unknown[:5])}",
                "export it with standard ONNX operators only; operators of a custom library cannot be served",
            ) from error
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
