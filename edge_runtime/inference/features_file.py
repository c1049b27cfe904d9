"""A declaration of features as a person writes it: TOML."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from edge_runtime.errors import BadInput
from edge_runtime.inference.features import Features

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def load_features(path: Path) -> Features:
    """Read size, channels, sample_rate and what to compute.

    Raises:
        BadInput: E-FEATURES-FILE, the file is missing, no TOML, or declares what cannot be computed.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8-sig")), Features)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        fix = 'such as: size = 1024, sample_rate = 12000, compute = [{ kind = "rms" }]; docs/features.md has all kinds'
        raise BadInput("E-FEATURES-FILE", f"cannot use {path}: {error}", fix) from error
