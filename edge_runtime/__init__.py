"""The daemon: serves packages, readings in, predictions and health out."""

from __future__ import annotations

import os

# From 1.32 on, onnxruntime reports its use to its maker and keeps a device identifier, unless it is told not to before
# it is imported. A factory's machines talk to the factory only; whoever wants to report can set the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
