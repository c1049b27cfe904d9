"""One file per way of writing a form: each takes (float32 model, recipe, ranges) and returns the model in that form."""

from __future__ import annotations

from edge_runtime.errors import BadInput

# What onnxruntime's own converters are seen to raise on graphs they do not expect.
CONVERTER_ERRORS = (
    *(AssertionError, AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError),
)


def refused(what: str, fix: str = "take another form; edgeopt inspect shows what the model is made of") -> BadInput:
    """Return the error of a model that does not fit the form asked for."""
    return BadInput("E-QUANTIZE", f"the model cannot be put in this form: {what}", fix)
