"""What a form of a model is made by."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.schemes import Scheme


@dataclass(frozen=True)
class Recipe:
    """How a form is made from the simplified float32 model: enough to make it again, byte for byte.

    Attributes:
        scheme: The form, an `optimizer.schemes` value type.
        method: How ranges are read from histograms: auto, minmax, percentile, entropy or mse.
        keep_float: Names of nodes that stay float32.
        wide: Names of nodes whose activations take 16 bits.
        reduced: Names of layers whose weights are kept from sums above 16 bits, for x86 without VNNI.
        in_any_order: Whether the reduced layers stay right however neighbours are paired, for other engines.
        corrections: Weight corrections applied to the float model first, in order, by name.
    """

    scheme: Scheme
    method: str = "auto"
    keep_float: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()
    reduced: tuple[str, ...] = ()
    in_any_order: bool = False
    corrections: tuple[str, ...] = ()
