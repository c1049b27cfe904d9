"""The onnxruntime door: the only file that creates inference sessions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from devices.host import int8_dot_products_saturate
from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.inference.engine import Array, Feeds, Tensor

# onnxruntime's exceptions have no common base, and each release adds some.
_ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
# The Python binding adds ValueError: arrays of a wrong kind, names in a model that are not UTF-8.
_BINDING_ERRORS: tuple[type[Exception], ...] = (*_ORT_ERRORS, ValueError)
GUARD = "session.x64quantprecision"  # "1": exact int8 sums on x86 without VNNI, where the default kernels saturate
_GUARD_FAILED = "AddInitializerWithOrtValue"
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
    """

    threads: int = 1
    optimize: bool = True
    config: dict[str, str] = field(default_factory=dict)


class OrtEngine:
    """An onnxruntime CPU session made from verified bytes, never from a path.

    Attributes:
        inputs: In declaration order.
        outputs: In declaration order.
        int8_is_exact: False where the processor's int8 kernels may saturate and this model cannot be kept from it;
            settings that switch the guard off say that no sum of this model reaches that far.

    Raises:
        BadInput: E-MODEL-LOAD, onnxruntime refused the model.
    """

    def __init__(self, model: bytes, settings: SessionSettings | None = None) -> None:
        self._session, self.int8_is_exact = _session_for(model, settings or SessionSettings())
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


def version() -> str:
    """Return onnxruntime's release, such as ``1.32.0``."""
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


def _session_for(
    model: bytes,
    settings: SessionSettings,
    prepare: Callable[[onnxruntime.SessionOptions], None] = lambda options: None,
) -> tuple[onnxruntime.InferenceSession, bool]:
    """Return a session, and whether its int8 products are exact; `prepare` may set further options.

    onnxruntime 1.32 cannot apply its own guard against saturation where tensors share a zero point ("Attempt to
    replace the existing tensor"), and then refuses the whole model: such a model is loaded without the guard.
    """
    guards = (True, False) if int8_dot_products_saturate() and GUARD not in settings.config else (False,)
    for guard in guards:
        options = _session_options(settings, guard=guard)
        prepare(options)
        try:
            return _create_session(model, options), guard == guards[0]
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
    for key, value in {"session.intra_op.allow_spinning": "0", **guarded, **settings.config}.items():
        options.add_session_config_entry(key, value)
    if not settings.optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _create_session(model: bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        # onnxruntime's own fallback prints to stdout and tries the same provider again.
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
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
