"""What a model is executed on besides the processor: names, options, what each cannot take, and how to get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.inference.tensorrt import options as tensorrt_options

Asked: TypeAlias = list[str | tuple[str, dict[str, str]]]

CPU = "cpu"
# Ours -> onnxruntime's.
NAMES: Mapping[str, str] = {
    CPU: "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_OURS = {theirs: ours for ours, theirs in NAMES.items()}
# What each falls back to inside one session, in this order.
_BELOW = {CPU: (), "cuda": (CPU,), "tensorrt": ("cuda", CPU)}
_INSTALL = {
    # Both wheels write into the same folder, so the first has to go.
    "cuda": "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'; on a Jetson NVIDIA's own wheel",
    "tensorrt": "pip uninstall onnxruntime && pip install onnxruntime-gpu, with the TensorRT release it was built for "
    "beside it; on a Jetson NVIDIA's own wheel, which finds the TensorRT of JetPack",
}


def why_missing(provider: str, available: Sequence[str]) -> str | None:
    """Return why a provider cannot be used with an onnxruntime that has these, None where it can."""
    if provider not in NAMES:
        return f"there is no provider {provider}; there are {', '.join(NAMES)}"
    if NAMES[provider] in available:
        return None
    return f"it runs on {provider}, and the onnxruntime installed here has no {NAMES[provider]}"


def missing(provider: str, why: str) -> EnvironmentFault:
    """Return the error for a provider that is asked for and not there."""
    install = _INSTALL.get(provider)
    allow = 'or write fallback = "allowed" to let the processor stand in'
    fix = f"{install}; {allow}" if install else f"use one of: {', '.join(NAMES)}"
    return EnvironmentFault("E-PROVIDER-MISSING", f"{provider} cannot be used: {why}", fix)


def failed(provider: str, why: str) -> EnvironmentFault:
    """Return the error for a provider that is there and does not execute the model."""
    return EnvironmentFault(
        "E-PROVIDER-FAILED",
        f"{provider} does not execute the model: {why}",
        "check driver, CUDA, cuDNN and TensorRT against the onnxruntime-gpu release with `nvidia-smi` and `pip list`, "
        'or write fallback = "allowed" to let the processor stand in',
    )


def asked_of_onnxruntime(provider: str, model: bytes, engine_cache: str) -> Asked:
    """Return what a session is created with: the provider, then those it may hand nodes to.

    Raises:
        BadInput: E-PROVIDER-PRECISION, the provider cannot execute this form of a model.
        EnvironmentFault, Refused: the folder for TensorRT's engines; see `tensorrt.options`.
    """
    if provider == "cuda" and quantizes(model):
        raise BadInput(
            "E-PROVIDER-PRECISION",
            "the CUDA provider has no kernels for int8 with Q and DQ: the layers would run on the processor, "
            "and their values travel to and fro",
            "serve a float32 or float16 variant on cuda, or int8 on tensorrt: edgeopt quantize MODEL --target TARGET "
            "with a target that has TensorRT makes both",
        )
    asked: Asked = [NAMES[name] for name in (provider, *_BELOW[provider])]
    if provider == "tensorrt":
        asked[0] = (NAMES[provider], tensorrt_options(model, engine_cache, int8=quantizes(model)))
    return asked


def quantizes(model: bytes) -> bool:
    """Tell whether a node turns activations into integers.

    Read from the bytes, as a device has no onnx: a node's operator is field 4 of its message, a text that follows its
    length (onnx.proto, NodeProto.op_type).
    """
    operators = ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger")
    return any(bytes([0x22, len(name)]) + name.encode() in model for name in operators)


def nodes_by_provider(assigned: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Return how many nodes each provider executes, by our names.

    Args:
        assigned: Pairs of onnxruntime's name of a provider and a number of nodes, a provider any number of times.
    """
    counts: dict[str, int] = {}
    for theirs, nodes in assigned:
        ours = _OURS.get(theirs, theirs)
        counts[ours] = counts.get(ours, 0) + nodes
    return counts


def fallback_inside(provider: str, nodes: Mapping[str, int] | None) -> str | None:
    """Return what a session on a provider leaves to others, in words; None where that is nothing or not known."""
    others = {name: count for name, count in (nodes or {}).items() if name != provider}
    if not others:
        return None
    total = sum((nodes or {}).values())
    words = ", ".join(f"{count} on {name}" for name, count in sorted(others.items()))
    return f"of {total} nodes {provider} does not execute all: {words}"
