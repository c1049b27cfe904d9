"""Errors carry a code, a cause and a fix."""

from __future__ import annotations

import pytest

from edge_runtime import errors


def test_an_error_prints_code_cause_and_fix() -> None:
    """The text is what a log and a terminal show."""
    error = errors.BadInput("E-MODEL-X", "model.onnx is empty", "export it again")
    assert str(error) == "E-MODEL-X: model.onnx is empty\n  fix: export it again"
    assert (error.code, error.message, error.fix) == ("E-MODEL-X", "model.onnx is empty", "export it again")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.WrongUsage, 2),
        (errors.BadInput, 3),
        (errors.BudgetNotMet, 4),
        (errors.EnvironmentFault, 5),
        (errors.Refused, 6),
    ],
)
def test_exit_statuses_are_stable(kind: type[errors.EdgeoptError], status: int) -> None:
    """Scripts and service units branch on them: they never change."""
    assert kind("E-X", "what", "fix").exit_status == status
