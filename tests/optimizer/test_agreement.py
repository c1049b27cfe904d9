"""Agreement of outputs: the worst output's, whatever its type."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optimizer.agreement import agreement_of

ONE, TWO = np.ones(4, np.float32), np.full(4, 2, np.float32)


def test_agreement_is_the_worst_output_s() -> None:
    """Equal bits are infinite; half the amplitude is 6 dB; other shapes, names and NaN agree with nothing."""
    assert agreement_of({"a": ONE}, {"a": ONE}) == math.inf
    assert agreement_of({"a": TWO, "b": TWO}, {"a": TWO, "b": ONE}) == pytest.approx(6.02, abs=0.01)
    assert agreement_of({"a": ONE}, {"a": ONE[:2]}) == -math.inf
    assert agreement_of({"a": ONE}, {"a": ONE * np.nan}) == -math.inf
    assert agreement_of({"a": ONE}, {"b": ONE}) == -math.inf


def test_whole_numbers_agree_by_the_share_that_is_equal() -> None:
    """One of ten that differs is 10 dB."""
    numbers = np.arange(10)
    other = numbers.copy()
    other[3] = 7
    assert agreement_of({"a": numbers}, {"a": other}) == pytest.approx(10)
