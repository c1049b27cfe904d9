"""What asks a place for what models compute there."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_runtime.inference.ort import SessionSettings


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
