"""What the client and the runner tell each other: JSON and arrays, never anything that runs when it is read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from benchmarks.latency import Comparison, Interval
from devices.host import Conditions, Host
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import SessionSettings

RUNNER = "runner.pyz"
JOB = "job.json"
MACHINE = "machine.json"
ANSWER = "answer.json"
MISSING = "missing.json"
LACKING = 43  # exit status of a Python that lacks something: start.py, which imports nothing, has it as well
FORM_LINE = "form"  # of stderr: `form 2` begins work on that form, `progress 3 10` tells how far the job is
PROGRESS_LINE = "progress"

_SET, _TUPLE = "frozenset", "tuple"


@dataclass(frozen=True)
class Form:
    """A model as it is to be run.

    Attributes:
        name: How it is called in results.
        model: The ONNX model.
        settings: Its session's settings.
        engine: What executes it.
    """

    name: str
    model: bytes
    settings: SessionSettings = field(default_factory=SessionSettings)
    engine: str = "onnxruntime"


@dataclass(frozen=True)
class Machine:
    """What a place runs models on.

    Attributes:
        host: The machine.
        python: Version of its Python.
        numpy: Version of its numpy.
        onnxruntime: Version of its onnxruntime.
        engines: Versions of the other engines asked for, as far as they are installed there.
    """

    host: Host
    python: str
    numpy: str
    onnxruntime: str
    engines: Mapping[str, str] = field(default_factory=dict)

    def version_of(self, engine: str) -> str:
        """Return name and version of an engine there, the name alone where it is not installed."""
        version = self.onnxruntime if engine == "onnxruntime" else self.engines.get(engine, "")
        return f"{engine} {version}".strip()

    def __str__(self) -> str:
        return f"{self.host}; onnxruntime {self.onnxruntime}, numpy {self.numpy}, Python {self.python}"


def model_file(index: int) -> str:
    """Return the name of a model's file."""
    return f"model-{index}.onnx"


def outcome_file(index: int) -> str:
    """Return the name of what a form came to: the names of its outputs, or why it failed."""
    return f"form-{index}.json"


def arrays_file(kind: str, index: int) -> str:
    """Return the name of samples, or of a form's outputs; `kind` is ``inputs`` or ``outputs``."""
    return f"{kind}-{index}.npz"


def pack_arrays(arrays: Mapping[str, Array]) -> bytes:
    """Return arrays as the bytes of an .npz; names are arrays too, so that they may hold anything.

    Raises:
        ValueError: an array holds objects.
    """
    packed = io.BytesIO()
    numbered = {f"a{index}": array for index, array in enumerate(arrays.values())}
    np.savez(packed, allow_pickle=False, names=np.asarray(list(arrays), dtype=np.str_), **numbered)
    return packed.getvalue()


def unpack_arrays(data: bytes) -> dict[str, Array]:
    """Return what `pack_arrays` packed.

    Raises:
        ValueError: the bytes are something else.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as packed:
            return {str(name): packed[f"a{index}"] for index, name in enumerate(packed["names"])}
    except (OSError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise ValueError(f"no arrays: {error}") from error


def described(form: Form) -> dict[str, Any]:
    """Return what a form is besides its model."""
    return {"name": form.name, "engine": form.engine, "settings": asdict(form.settings)}


def to_json(value: Any) -> bytes:
    """Return plain values and frozen dataclasses as JSON; sets and tuples come back as what they were."""
    return json.dumps(_plain(value)).encode()


def from_json(data: bytes) -> Any:
    """Return what `to_json` wrote, dataclasses as their fields.

    Raises:
        ValueError: the bytes are no JSON.
    """
    return json.loads(data, object_hook=_restored)


def host_of(facts: Mapping[str, Any]) -> Host:
    """Return the machine from its fields."""
    return Host(**_known(Host, facts))


def machine_of(facts: Mapping[str, Any]) -> Machine:
    """Return a place's machine from its fields."""
    return Machine(**{**_known(Machine, facts), "host": host_of(facts["host"])})


def conditions_of(facts: Mapping[str, Any]) -> Conditions:
    """Return how a machine fared from its fields."""
    return Conditions(**_known(Conditions, facts))


def comparison_of(facts: Mapping[str, Any]) -> Comparison:
    """Return timings from their fields."""
    return Comparison(_intervals(facts["timings"]), _intervals(facts["speedups"]))


def _intervals(found: Sequence[Mapping[str, float]]) -> tuple[Interval, ...]:
    return tuple(Interval(**each) for each in found)


def _known(kind: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in facts.items() if name in names}


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, frozenset | set):
        return {_SET: sorted(_plain(item) for item in value)}
    if isinstance(value, tuple):
        return {_TUPLE: [_plain(item) for item in value]}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _restored(found: dict[str, Any]) -> Any:
    if set(found) == {_SET}:
        return frozenset(found[_SET])
    return tuple(found[_TUPLE]) if set(found) == {_TUPLE} else found
