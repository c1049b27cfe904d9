"""Lets these tests use the optimizer's small models, and the comparison with other tools, which is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import benchmarks

ROOT = Path(__file__).resolve().parents[3]

sys.path.insert(0, str(ROOT / "tests" / "optimizer"))
# Beside the installed package, so that all but the comparison is tested as users get it.
if str(ROOT / "benchmarks") not in benchmarks.__path__:
    benchmarks.__path__.append(str(ROOT / "benchmarks"))
