"""Weights that keep sums inside 16 bits, and how little that costs."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from optimizer.quantizers.encoding import weight_codes
from optimizer.quantizers.reduced import reduced_codes, within_16_bits
from optimizer.saturation import largest_sums, rows_of

CONV = helper.make_node("Conv", ["x", "w"], ["y"], "layer")
DENSE = helper.make_node("MatMul", ["x", "w"], ["y"], "layer")


def test_no_pair_is_left_that_could_exceed_16_bits() -> None:
    """Whatever the weights, also where the steps are given or one scale is for all."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        weight = (random.normal(0, 1, (8, 3, 3, 3)) ** 3).astype(np.float32)
        for axis, least in ((0, 0.0), (None, 0.0), (0, np.full(8, 0.02))):
            codes, scales = reduced_codes(CONV, weight, axis, least)
            assert largest_sums(rows_of(CONV, codes)).max() <= 32767
            assert (scales >= np.float32(least)).all()


def test_channels_without_risk_keep_their_codes() -> None:
    """Only the channel in which two large weights of one sign meet is changed."""
    weight = np.array([[1.0, 1.0], [-1.0, 1.0], [0.5, 0.5], [0.1, 0.1]], np.float32)
    plain, reduced = (make[0] for make in (weight_codes(weight, 1), reduced_codes(DENSE, weight, 1, 0.0)))
    assert np.array_equal(plain[:, 0], reduced[:, 0])
    assert plain[:, 1].tolist() == [127, 127, 64, 13]
    assert reduced[:, 1].tolist() == [64, 64, 32, 6]


def test_a_pair_just_above_comes_down_while_the_steps_stay() -> None:
    """One step off one weight is better than larger steps for all."""
    weight = np.random.default_rng(0).integers(-60, 61, (200, 1)).astype(np.float32)
    weight[:2, 0] = 127, 2
    codes, scales = reduced_codes(DENSE, weight, 1, 0.0)
    assert scales.tolist() == [1.0]
    assert codes[:2, 0].tolist() == [126, 2]
    assert np.array_equal(codes[2:], weight[2:])


def test_both_of_a_pair_come_down_alike() -> None:
    """Down to 128 in all; pairs of unlike signs and single last weights cannot exceed 16 bits."""
    codes = np.array([[127, 127, -127, -101, 127, -127, 127]], np.int8).T
    assert within_16_bits(DENSE, codes)[:, 0].tolist() == [64, 64, -77, -51, 127, -127, 127]


@pytest.mark.parametrize("power", [1, 3])
def test_it_costs_less_than_seven_bits(power: int) -> None:
    """The outputs behind a Relu err less than with all weights in seven bits."""
    random = np.random.default_rng(0)
    weight = (random.normal(0, 1, (64, 32)) ** power).astype(np.float32)
    x = np.maximum(random.normal(0, 1, (500, 64)), 0)
    largest = np.abs(weight).max(axis=0)
    errors = []
    for codes, scales in (reduced_codes(DENSE, weight, 1, 0.0), weight_codes(weight, 1, largest / 64)):
        errors.append(float(np.mean((x @ (codes * scales - weight)) ** 2)))
    assert errors[0] < 0.8 * errors[1]


def test_depthwise_convolutions_stay_as_they_are() -> None:
    """Their kernels are exact."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], "layer", group=4)
    weight = np.ones((4, 1, 3, 3), np.float32)
    assert np.array_equal(reduced_codes(node, weight, 0, 0.0)[0], weight_codes(weight, 0)[0])


def test_odd_channels_stay_right_in_any_order_of_adding() -> None:
    """For another engine no code of a layer of three channels is above 64, and its scales fit the codes."""
    weight = np.random.default_rng(5).normal(0, 1, (4, 3, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv")
    codes, scales = reduced_codes(node, weight, 0, 0.0, in_any_order=True)
    assert np.abs(codes).max() <= 64
    assert np.abs(reduced_codes(node, weight, 0, 0.0)[0]).max() > 64
    error = codes * scales.reshape(4, 1, 1, 1) - weight
    assert np.square(error).mean() < 1e-3
