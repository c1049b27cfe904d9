"""Durations as they stand in a configuration."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from msgspec import Meta

# What people write wrongly is explained with the description.
Duration: TypeAlias = Annotated[
    str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|min|h)\Z", description='a duration: "500ms", "10s", "5min", "1h"')
]

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """Return the seconds of a checked duration such as ``10s`` or ``500ms``."""
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", duration).groups()  # type: ignore[union-attr]
    return float(number) * _SECONDS[unit]
