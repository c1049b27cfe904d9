"""A metric the user wrote: kept by its name, so that a worker process can import it again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from optimizer import user_code
from optimizer.metrics.outputs import Viewed, read_only


@dataclass(frozen=True)
class UserFunction:
    """Calls ``module:function`` with (outputs, labels), imported on first use from where the command was typed.

    Raises when called:
        BadInput: E-USER-FUNCTION, it raised or returned something else than a number; E-METRIC-MUTATES.
    """

    spec: str
    origin: user_code.Origin

    def __call__(self, outputs: Viewed, labels: Array) -> float:
        """Return the user's number; his arrays are read-only, others look at them too."""
        function = user_code.import_function(self.spec, self.origin)
        try:
            with self.origin.first_on_path():
                value = user_code.call(self.spec, function, read_only(outputs), read_only(labels))
        except BadInput as error:
            if isinstance(error.__cause__, ValueError) and "read-only" in str(error.__cause__):
                raise BadInput(
                    "E-METRIC-MUTATES",
                    f"{self.spec} writes into the outputs or labels it is given: {error.message}",
                    "work on a copy: outputs = outputs.copy()",
                ) from error
            raise
        return self._number(value)

    def _number(self, value: object) -> float:
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if isinstance(value, (int, float, np.floating, np.integer)):
            return float(value)
        raise BadInput(
            "E-USER-FUNCTION", f"{self.spec} returned {type(value).__name__}, not a number", "return one float"
        )
