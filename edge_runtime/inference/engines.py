"""The engines by name: what a variant's manifest entry asks for becomes a loaded model.

An engine is one file that keeps the contract of engine.py, and a line in `ENGINES`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from edge_runtime.errors import BadInput
from edge_runtime.inference import openvino, ort
from edge_runtime.inference.engine import Engine
from edge_runtime.inference.openvino import OpenVinoEngine
from edge_runtime.inference.ort import OrtEngine, SessionSettings

Load: TypeAlias = Callable[[bytes, SessionSettings], Engine]

DEFAULT = "onnxruntime"


@dataclass(frozen=True)
class Kind:
    """An engine.

    Attributes:
        title: As its makers write it.
        load: (model, settings) -> the loaded model.
        version: Returns its release; raises EnvironmentFault where it is not installed.
        library: What is imported for it; whether that is there is asked without importing it.
        install: The command that installs it.
    """

    title: str
    load: Load
    version: Callable[[], str]
    library: str
    install: str


ENGINES: dict[str, Kind] = {
    DEFAULT: Kind("onnxruntime", OrtEngine, ort.version, "onnxruntime", "pip install edgeopt"),
    "openvino": Kind("OpenVINO", OpenVinoEngine, openvino.version, "openvino", openvino.INSTALL),
}


def load(name: str, model: bytes, settings: SessionSettings) -> Engine:
    """Return the model loaded by an engine.

    Raises:
        BadInput: E-ENGINE-UNKNOWN, there is no such engine; E-MODEL-LOAD, it refused the model.
        EnvironmentFault: E-ENGINE-MISSING, it is not installed here.
    """
    return _kind(name).load(model, settings)


def available() -> dict[str, str | None]:
    """Return engine name -> None where it can be used, else the command that installs it."""
    return {name: None if importlib.util.find_spec(kind.library) else kind.install for name, kind in ENGINES.items()}


def version_of(name: str) -> str:
    """Return an engine's release.

    Raises:
        BadInput: E-ENGINE-UNKNOWN.
        EnvironmentFault: E-ENGINE-MISSING, it is not installed here.
    """
    return _kind(name).version()


def _kind(name: str) -> Kind:
    if name not in ENGINES:
        known = ", ".join(sorted(ENGINES))
        raise BadInput("E-ENGINE-UNKNOWN", f"there is no engine {name}", f"use one of: {known}")
    return ENGINES[name]
