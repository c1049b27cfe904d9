"""Where a form may be served: what executes it there, and what the machine must be for that."""

from __future__ import annotations

from devices.profile import Device
from edge_runtime.package.manifest import Needs, Provider
from optimizer.schemes import Float16, Int8Dynamic, Int8Static, Int8StaticSymmetric, Scheme

# Where onnxruntime's int8 kernels are known to compute the same; on x86 without VNNI by its guard (ort.py).
_INT8_ISAS = ("x86_64", "aarch64")
_FLOAT16_ISA, _FLOAT16_FEATURE = "aarch64", "asimdhp"


def provider_of(scheme: Scheme | None) -> Provider:
    """Return what a form is executed on; the user's own model and rewrites of it run anywhere, so on the CPU."""
    if isinstance(scheme, Int8StaticSymmetric):
        return "tensorrt"
    return scheme.provider if isinstance(scheme, Float16) else "cpu"


def needs_of(scheme: Scheme | None, device: Device) -> Needs:
    """Return what a machine must be to serve a form.

    A GPU is asked for by the provider, so that its forms need nothing more of the processor.

    Args:
        scheme: The form, None for float32.
        device: The target it was built for, on which it may be served in any case.
    """
    if provider_of(scheme) != "cpu":
        return Needs()
    if isinstance(scheme, Float16):
        return Needs(isa=(_FLOAT16_ISA,), features=(_FLOAT16_FEATURE,))
    if isinstance(scheme, Int8Static | Int8Dynamic):
        return Needs(isa=tuple(dict.fromkeys((*_INT8_ISAS, device.isa))))
    return Needs()
