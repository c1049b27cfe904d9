"""The onnxruntime door: the only file that creates inference sessions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from devices.host import int8_dot_products_saturate
from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.inference.engine import Array, Feeds, Tensor
from edge_runtime.inference.providers import (
    CPU,
    NAMES,
    Asked,
    asked_of_onnxruntime,
    failed,
    fallback_inside,
    missing,
    nodes_by_provider,
    why_missing,
)

# onnxruntime's exceptions have no common base, and each release adds some.
_ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
# The Python binding adds ValueError: arrays of a wrong kind, names in a model that are not UTF-8.
_BINDING_ERRORS: tuple[type[Exception], ...] = (*_ORT_ERRORS, ValueError)
GUARD = "session.x64quantprecision"  # "1": exact int8 sums on x86 without VNNI, where the default kernels saturate
_GUARD_FAILED = "AddInitializerWithOrtValue"
_MAY_FALL_BACK = frozenset({"E-PROVIDER-MISSING", "E-PROVIDER-FAILED"})
_RECORD_NODES = "session.record_ep_graph_assignment_info"
_FATAL_ONLY = 4  # onnxruntime's logger severities: 0 verbose … 4 fatal; its errors reach us as exceptions


@dataclass(frozen=True)
class SessionSettings:
    """How a session is made.

    Attributes:
        threads: Intra-op threads. One by default, and none that spins: at 100 calls a second two spinning threads
            took a whole core where one thread took 3 % of it (measured, docs/benchmarks.md).
        optimize: Whether onnxruntime may fuse the graph; off keeps every named tensor observable.
        config: Extra session config entries, for instance those a package's variant asks for. One that names `GUARD`
            decides about it; else it is set where the processor needs it.
        provider: What executes it: ``cpu``, ``cuda`` or ``tensorrt``.
        fallback: Whether the processor may stand in where that provider is missing or fails.
        engine_cache: Folder in which TensorRT keeps the engines it built here; "" for none.
    """

    threads: int = 1
    optimize: bool = True
    config: dict[str, str] = field(default_factory=dict)
    provider: str = CPU
    fallback: bool = False
    engine_cache: str = ""


class OrtEngine:
    """An onnxruntime session made from verified bytes, never from a path.

    Attributes:
        inputs: In declaration order.
        outputs: In declaration order.
        int8_is_exact: False where the processor's int8 kernels may saturate and this model cannot be kept from it;
            settings that switch the guard off say that no sum of this model reaches that far.
        provider: What executes it in fact, which is the processor where that had to stand in.
        nodes: Executed nodes by provider; None where that was not asked or this onnxruntime does not tell.
        fallback: What is not executed where it was meant to be, and why; None where all is.

    Raises:
        BadInput: E-MODEL-LOAD, onnxruntime refused the model; E-PROVIDER-PRECISION, the provider cannot execute it.
        EnvironmentFault: E-PROVIDER-MISSING or E-PROVIDER-FAILED, and the settings allow no fallback.
    """

    def __init__(self, model: bytes, settings: SessionSettings | None = None) -> None:
        settings = settings or SessionSettings()
        self.provider, self.fallback = settings.provider, None
        try:
            self._session, self.int8_is_exact = _session_on_provider(model, settings)
        except EnvironmentFault as error:
            if not settings.fallback or error.code not in _MAY_FALL_BACK:
                raise
            self.provider, self.fallback = CPU, f"on the processor: {error.message}"
            settings = replace(settings, provider=CPU)
            self._session, self.int8_is_exact = _session_for(model, settings)
        self.nodes = _nodes(self._session, settings)
        self.fallback = self.fallback or fallback_inside(self.provider, self.nodes)
        self.inputs = tuple(_tensor(argument) for argument in self._session.get_inputs())
        self.outputs = tuple(_tensor(argument) for argument in self._session.get_outputs())
        self._output_names = [tensor.name for tensor in self.outputs]

    @property
    def threads(self) -> int:
        """Return how many threads the session works with."""
        return int(self._session.get_session_options().intra_op_num_threads)

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """Run one batch; see the contract in engine.py."""
        try:
            results = self._session.run(self._output_names, dict(feeds))
        except _BINDING_ERRORS as error:
            raise BadInput(
                "E-INFERENCE",
                f"the model failed on this input: {_first_line(error)}",
                "compare the input's shape and dtype with `edgeopt inspect MODEL`",
            ) from error
        return dict(zip(self._output_names, results, strict=True))


def available_providers() -> list[str]:
    """Return the providers this onnxruntime was built with, by its names; their libraries may still be missing."""
    return list(onnxruntime.get_available_providers())


def version() -> str:
    """Return onnxruntime's version, by whichever of its distributions it is installed."""
    return str(onnxruntime.__version__)


def simplify_graph(model: bytes) -> bytes:
    """Return the model after onnxruntime's own basic rewrites: constants folded, batch norms merged, no-ops removed.

    The basic level uses standard ONNX operators only, so every other tool can still read the result.

    Raises:
        BadInput: E-MODEL-LOAD, onnxruntime refused the model.
    """
    return _rewritten(model, SessionSettings(), onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)


def executed_graph(model: bytes, settings: SessionSettings) -> bytes:
    """Return the graph that a session with these settings really executes on this machine, for reading only.

    Raises:
        BadInput: E-MODEL-LOAD, onnxruntime refused the model.
    """
    return _rewritten(model, settings, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)


def _rewritten(model: bytes, settings: SessionSettings, level: onnxruntime.GraphOptimizationLevel) -> bytes:
    try:
        return _rewritten_in_a_file(model, settings, level)
    except OSError as error:
        raise EnvironmentFault(
            "E-FILE-WRITE",
            f"cannot write a temporary file: {error.strerror or error}",
            "make room in the folder for temporary files, or name another: TMPDIR=FOLDER",
        ) from error


def _rewritten_in_a_file(model: bytes, settings: SessionSettings, level: onnxruntime.GraphOptimizationLevel) -> bytes:
    with tempfile.TemporaryDirectory(prefix="edgeopt-") as folder:
        target = Path(folder) / "rewritten.onnx"

        def prepare(options: onnxruntime.SessionOptions) -> None:
            options.graph_optimization_level = level
            options.optimized_model_filepath = str(target)

        try:
            _session_for(model, settings, prepare)
        except BadInput:
            target.write_bytes(model)  # onnxruntime blames the model where the disk is full; this tells the two apart
            raise
        return target.read_bytes()


def _session_on_provider(model: bytes, settings: SessionSettings) -> tuple[onnxruntime.InferenceSession, bool]:
    """Return a session that executes on the provider asked for; onnxruntime itself would go on without it, unheard."""
    provider = settings.provider
    why = why_missing(provider, available_providers())
    if why:
        raise missing(provider, why)
    if provider == CPU:
        return _session_for(model, settings)
    try:
        session, exact = _session_for(model, settings)
    except BadInput as error:
        if error.code != "E-MODEL-LOAD":
            raise
        raise failed(provider, error.message) from error
    if NAMES[provider] not in session.get_providers():
        raise failed(provider, "onnxruntime left it out, as it does where a library or the driver cannot be loaded")
    nodes = _nodes(session, settings)
    if nodes and provider not in nodes:
        raise failed(provider, f"it takes not one of the model's {sum(nodes.values())} nodes")
    return session, exact


def _nodes(session: onnxruntime.InferenceSession, settings: SessionSettings) -> dict[str, int] | None:
    """Return the number of nodes by provider, None where it was not recorded; older releases cannot."""
    recorded = settings.provider != CPU or settings.config.get(_RECORD_NODES) == "1"
    if not recorded or not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    assigned = session.get_provider_graph_assignment_info()
    return nodes_by_provider([(part.ep_name, len(part.get_nodes())) for part in assigned])


def _session_for(
    model: bytes,
    settings: SessionSettings,
    prepare: Callable[[onnxruntime.SessionOptions], None] = lambda options: None,
) -> tuple[onnxruntime.InferenceSession, bool]:
    """Return a session, and whether its int8 products are exact; `prepare` may set further options.

    onnxruntime 1.32 cannot apply its own guard against saturation where tensors share a zero point ("Attempt to
    replace the existing tensor"), and then refuses the whole model: such a model is loaded without the guard.
    """
    asked = asked_of_onnxruntime(settings.provider, model, settings.engine_cache)
    guards = (True, False) if int8_dot_products_saturate() and GUARD not in settings.config else (False,)
    for guard in guards:
        options = _session_options(settings, guard=guard)
        prepare(options)
        try:
            return _create_session(model, options, asked), guard == guards[0]
        except BadInput as error:
            if not guard or _GUARD_FAILED not in error.message:
                raise
    raise AssertionError("the last try returned or raised")


def _session_options(settings: SessionSettings, *, guard: bool) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    # Without VNNI the AVX2 kernels add pairs of products in 16 bits and saturate; the guard makes them exact.
    guarded = {GUARD: "1"} if guard else {}
    # Each entry once: onnxruntime warns on standard error about one that is set again.
    recorded = {_RECORD_NODES: "1"} if settings.provider != CPU else {}
    for key, value in {"session.intra_op.allow_spinning": "0", **guarded, **recorded, **settings.config}.items():
        options.add_session_config_entry(key, value)
    if not settings.optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _create_session(model: bytes, options: onnxruntime.SessionOptions, asked: Asked) -> onnxruntime.InferenceSession:
    try:
        # onnxruntime's own fallback prints to stdout and tries the same provider again.
        return onnxruntime.InferenceSession(model, options, providers=asked, enable_fallback=0)
    except _BINDING_ERRORS as error:
        raise BadInput(
            "E-MODEL-LOAD",
            f"onnxruntime {onnxruntime.__version__} cannot load the model: {_first_line(error)}",
            "check the model with `python -m onnx.checker MODEL` or export it again with an older opset",
        ) from error


def _tensor(argument: onnxruntime.NodeArg) -> Tensor:
    shape = tuple(size if isinstance(size, int) else str(size or "?") for size in argument.shape or ())
    return Tensor(name=argument.name, dtype=_dtype_name(argument.type), shape=shape)


def _dtype_name(ort_type: str) -> str:
    """Translate onnxruntime's ``tensor(float)`` to numpy's ``float32``; other kinds keep onnxruntime's words."""
    names = {"float": "float32", "double": "float64", "bool": "bool", "string": "str"}
    inner = ort_type.removeprefix("tensor(").removesuffix(")")
    if inner in names:
        return names[inner]
    try:
        return np.dtype(inner).name
    except TypeError:
        return ort_type


def _first_line(error: Exception) -> str:
    """Return the first line of onnxruntime's words; some of its errors have none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
