"""A board for tests: this machine as a place of another name, with the faults that a real board has."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks import exchange
from devices.host import detect
from devices.places.local import LocalPlace
from devices.profile import of_host
from optimizer.target import Target

NAME = "ssh://pi@line3"


class Board(LocalPlace):
    """Runs models here as if it were elsewhere; `spoil` gets (file, content) of every answer and returns another."""

    name = NAME

    def __init__(self, spoil: Callable[[str, bytes], bytes] = lambda name, data: data) -> None:
        super().__init__()
        self._spoil = spoil
        self.models: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        """Write a file, remembering which models came."""
        if name.endswith(".onnx"):
            self.models[name] = data
        super().put(name, data)

    def get(self, name: str) -> bytes:
        """Read a file, spoiled."""
        return self._spoil(name, super().get(name))


@dataclass
class WrongInt8:
    """A board whose int8 kernels are broken: every quantized model's outputs come back turned around."""

    only_int8: bool = True
    board: Board | None = None

    def __call__(self, name: str, data: bytes) -> bytes:
        """Turn the outputs of quantized models around."""
        if not name.startswith("outputs-") or self.board is None:
            return data
        model = self.board.models[name.replace("outputs-", "model-").replace(".npz", ".onnx")]
        if self.only_int8 and b"DequantizeLinear" not in model:
            return data
        wrong = {key: np.asarray(-array) for key, array in exchange.unpack_arrays(data).items()}
        return exchange.pack_arrays(wrong)


def wrong_board(*, only_int8: bool) -> Board:
    """Return a board that computes something else, with quantized models or with all."""
    fault = WrongInt8(only_int8)
    fault.board = Board(fault)
    return fault.board


def throttled(name: str, data: bytes) -> bytes:
    """Say that the processor was held back while models were timed."""
    if name != exchange.ANSWER:
        return data
    answer: dict[str, Any] = json.loads(data)
    if "after" in answer:
        answer["after"]["throttling"] = {"frozenset": ["under-voltage"]}
    return json.dumps(answer).encode()


def target_at(board: Board) -> Target:
    """Return the board as a target over ssh."""
    return Target(NAME, replace(of_host(detect()), name=NAME), place=board, machine="a board in line 3")
