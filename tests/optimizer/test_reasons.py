"""The sentences of a result: why a form was chosen, and what would let an int8 form in where none was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.latency import Interval
from edge_runtime.inference.ort import SessionSettings
from edge_runtime.package.manifest import Accuracy
from optimizer.candidates import Candidate
from optimizer.evaluate import Budget
from optimizer.metrics import BUILT_IN
from optimizer.reasons import int8_missing, reason
from optimizer.recipe import Recipe
from optimizer.request import Request
from optimizer.schemes import Int8Static

REQUEST = Request(metric=BUILT_IN["top1"], budget=Budget.parse("1pt"))
EXACT = Accuracy("top1", 0.9, 0.88, 0.92, 0.9, 0.0, 0.0, 0.0, 100, 0.95)
LOSSY = Accuracy("top1", 0.85, 0.82, 0.88, 0.9, 0.05, 0.03, 0.07, 100, 0.95)
INT8 = Candidate("cpu-u8s8", "int8", b"model", SessionSettings(), Recipe(Int8Static()), accuracy=EXACT)
TIMED = replace(INT8, speedup=Interval(0.8, 0.7, 0.9), rejected="slower than float32 here")


def test_where_int8_is_only_slow_no_larger_budget_is_advised() -> None:
    """More budget does not make a form faster: the advice is another machine, and no number is named."""
    error = int8_missing([TIMED], None, REQUEST)
    assert (error.code, error.exit_status) == ("E-BUDGET-INT8", 4)
    assert "not faster on this machine" in error.fix
    assert "--max-drop" not in error.fix


def test_a_predicted_loss_of_speed_asks_for_the_board() -> None:
    """No machine measured it, so the next step is the one that does."""
    error = int8_missing([replace(TIMED, quantity="instructions")], None, REQUEST)
    assert "not predicted to gain anything: measure on the board" in error.fix


def test_where_the_budget_is_missed_the_nearest_is_named() -> None:
    """The form that loses least, and how much it needs."""
    error = int8_missing([replace(INT8, accuracy=LOSSY, rejected="outside the budget")], None, REQUEST)
    assert "cpu-u8s8 loses least and needs --max-drop 5" in error.fix
    assert "outside the budget" in error.message


@pytest.mark.parametrize(
    ("chosen", "nothing", "says"),
    [
        (replace(INT8, name="fp32"), None, "the model as given is the best"),
        (replace(INT8, name="fp32"), "it holds no weights", "passed through unchanged: it holds no weights"),
        (replace(TIMED, speedup=Interval(1.4, 1.3, 1.5)), None, "fastest form inside the budget: 1.40 x float32"),
        (
            replace(TIMED, speedup=Interval(1.4, 1.4, 1.4), quantity="instructions"),
            None,
            "best form inside the budget; predicted direction: fewer instructions than float32, 1.40 x on a Cortex-A72",
        ),
    ],
)
def test_a_choice_has_its_reason(chosen: Candidate, nothing: str | None, says: str) -> None:
    """A time is told as one, a direction with its label and its machine."""
    assert reason(chosen, "fp32", nothing, "on a Cortex-A72").startswith(says)
