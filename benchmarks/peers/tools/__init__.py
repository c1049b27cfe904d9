"""One file per tool, each run as a child process in the tool's own environment.

A tool is a module with::

    ABOUT: str                                # what it is asked to do, for the table's legend
    DISTRIBUTION: str                         # the package whose version is reported
    REQUIREMENTS: tuple[tuple[str, ...], ...] # arguments of one `pip install` after the other; () for edgeopt's own
    def quantize(model: Path, calibration: Samples, output: Path) -> None

and, where they differ from the usual, ``ENGINE``, what executes the file, and ``ENVIRONMENT``, whose environment it
uses.

`model` is a copy that the tool may damage, `calibration` a list of feeds with one sample each, `output` the ONNX file
to write. The module is imported in edgeopt's environment too, for its constants; what only the tool's environment has
is imported inside `quantize`. It may raise whatever it likes: the last line it printed becomes the reason in its row.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = list[dict[str, NDArray[np.generic]]]

# The order of the rows.
TOOLS = (
    *("ort_default", "ort_best", "ort_percentile", "ort_layers", "ort_dynamic"),
    *("nncf", "nncf_openvino", "olive", "quark"),
)
