"""The weight corrections by name, cheapest first: what a recipe names and the search tries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from edge_runtime.inference.engine import Feeds
from optimizer.correct import bias_correction, equalize, rounding, smooth

Quantized: TypeAlias = Callable[[bytes], bytes]
Apply: TypeAlias = Callable[[bytes, Quantized, Feeds], bytes]


@dataclass(frozen=True)
class Correction:
    """One way to make a float32 model lose less when it is quantized.

    Attributes:
        name: What recipes and reports call it.
        apply: (simplified float32 model, its quantizer, calibration samples) -> float32 model with the same interface;
            the very same bytes where nothing in the model fits.
        changes_ranges: Whether activations get other ranges, so that they must be observed again before quantizing.
        needs: What a model must have for it to fit, in words.
    """

    name: str
    apply: Apply
    changes_ranges: bool
    needs: str


CORRECTIONS: dict[str, Correction] = {
    correction.name: correction
    for correction in (
        Correction(
            "bias-correction", bias_correction.apply, False, "a convolution or matrix product with a place for a bias"
        ),
        Correction(
            "equalize", equalize.apply, True, "two layers in a row with only Relu, pooling or flattening in between"
        ),
        Correction("smooth", smooth.apply, True, "a normalisation read by matrix products only"),
        Correction("rounding", rounding.apply, False, "a quantized convolution or matrix product inside the budget"),
    )
}

# Shapes of the model's numbers first, then the rounding of what they became, then what the rounding shifted.
_APPLIED = ("equalize", "smooth", "rounding", "bias-correction")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return correction names in the order in which they have to be applied, each once."""
    return tuple(sorted(set(names), key=_APPLIED.index))
