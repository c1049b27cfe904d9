"""The engines by name: what a variant's manifest entry asks for becomes a loaded model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Engine
from edge_runtime.inference.ort import OrtEngine, SessionSettings

Load: TypeAlias = Callable[[bytes, SessionSettings], Engine]

DEFAULT = "onnxruntime"
_ENGINES: dict[str, Load] = {DEFAULT: OrtEngine}


def load(name: str, model: bytes, settings: SessionSettings) -> Engine:
    """Return the model loaded by an engine.

    Raises:
        BadInput: E-ENGINE-UNKNOWN, there is no such engine; E-MODEL-LOAD, it refused the model.
    """
    if name not in _ENGINES:
        known = ", ".join(sorted(_ENGINES))
        raise BadInput("E-ENGINE-UNKNOWN", f"there is no engine {name}", f"use one of: {known}")
    return _ENGINES[name](model, settings)


def available() -> dict[str, str | None]:
    """Return every engine by name: None where it can be used on this machine, else the reason why not."""
    return dict.fromkeys(_ENGINES)
