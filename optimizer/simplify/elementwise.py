"""Which operators work on every element alone, so that they do not mind where it lies."""

from __future__ import annotations

UNARY = frozenset(
    {"Abs", "Cast", "Celu", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity"}
    | {"LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus"}
    | {"Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu"}
)
BINARY = frozenset({"Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum"})
# Of the unary ones, those that make no infinity or NaN of zero.
FINITE_AT_ZERO = UNARY - {"Log", "Reciprocal", "Cast"}
