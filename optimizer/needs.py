"""Where a form may be served: what executes it there, and what the machine must be for that."""

from __future__ import annotations

from edge_runtime.package.manifest import Needs, Provider
from optimizer.schemes import Float16, Int8StaticSymmetric, Scheme

_TENSORRT = Needs(isa=("x86_64", "aarch64"))  # what NVIDIA builds it for; whether it is there its provider tells
# Other processors convert each operator to float32 and back: right, but slower than the float32 model.
_FLOAT16_ON_THE_CPU = Needs(isa=("aarch64",), features=("asimdhp",))


def provider_of(scheme: Scheme | None) -> Provider:
    """Return what a form is executed on; the user's own model and rewrites of it run anywhere, so on the CPU."""
    if isinstance(scheme, Int8StaticSymmetric):
        return "tensorrt"
    return scheme.provider if isinstance(scheme, Float16) else "cpu"


def needs_of(scheme: Scheme | None) -> Needs:
    """Return what a machine must be to serve a form; what integer sums need their weights tell (saturation.py)."""
    if provider_of(scheme) == "tensorrt":
        return _TENSORRT
    return _FLOAT16_ON_THE_CPU if isinstance(scheme, Float16) else Needs()
