"""The forms of values in the configuration, and what they mean as numbers."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from msgspec import Meta

# What people write wrongly is explained with the description.
Duration: TypeAlias = Annotated[
    str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|min|h)\Z", description='a duration: "500ms", "10s", "5min", "1h"')
]
Size: TypeAlias = Annotated[
    str, Meta(pattern=r"^[1-9][0-9]*(B|KiB|MiB)\Z", description='a size: "512B", "64KiB", "1MiB"')
]

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}


def seconds(duration: str) -> float:
    """Return the seconds of a checked duration such as ``10s`` or ``500ms``."""
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", duration).groups()  # type: ignore[union-attr]
    return float(number) * _SECONDS[unit]


def size_in_bytes(size: str) -> int:
    """Return the bytes of a checked size such as ``1MiB``."""
    number, unit = re.fullmatch(r"(\d+)(\D+)", size).groups()  # type: ignore[union-attr]
    return int(number) * _BYTES[unit]
