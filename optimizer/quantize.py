"""(model, recipe, ranges) -> the model in another form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from optimizer.quantizers import float16, int4_weights, int8_dynamic, int8_static, int8_weights
from optimizer.recipe import Recipe
from optimizer.schemes import Float16, Int4Weights, Int8Dynamic, Int8Static, Int8StaticSymmetric, Int8Weights, Scheme

__all__ = ["QUANTIZERS", "quantize", "tensors_to_observe"]

Ranges: TypeAlias = Mapping[str, tuple[float, float]]  # tensor name -> (low, high)
Quantizer: TypeAlias = Callable[[bytes, Recipe, Ranges], bytes]

QUANTIZERS: dict[type[Scheme], Quantizer] = {
    Int8Static: int8_static.apply,
    Int8StaticSymmetric: int8_static.apply,
    Int8Dynamic: int8_dynamic.apply,
    Int8Weights: int8_weights.apply,
    Int4Weights: int4_weights.apply,
    Float16: float16.apply,
}


def tensors_to_observe(data: bytes, schemes: Sequence[Scheme] = ()) -> list[str]:
    """Return the float tensors whose ranges static int8 needs, and those other schemes ask for, in a fixed order."""
    more = float16.tensors_to_observe(data) if any(isinstance(scheme, Float16) for scheme in schemes) else []
    also = tuple(operator for scheme in schemes for operator in getattr(scheme, "also", ()))
    return sorted({*int8_static.tensors_to_observe(data, also), *more})


def quantize(data: bytes, recipe: Recipe, ranges: Ranges) -> bytes:
    """Return the model in the form the recipe names; the data themselves where nothing in it takes that form.

    Args:
        data: The float32 model, simplified, its nodes named.
        recipe: The form.
        ranges: Tensor name -> (low, high) from calibration; data-free forms read none.

    Raises:
        BadInput: E-QUANTIZE, the model cannot be put in this form.
    """
    return QUANTIZERS[type(recipe.scheme)](data, recipe, ranges)
