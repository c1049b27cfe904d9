"""The flow for machines that are not here: measured there, verified in an emulator, or predicted; each called that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from benches import QUICK
from boards import NAME, Board, target_at, throttled, wrong_board
from models import images, mlp, residual_convnet
from rich.console import Console

from devices import profile
from devices.places import sandbox
from devices.places.emulated import EmulatedPlace
from edge_runtime.errors import BudgetNotMet, EnvironmentFault, Refused
from edge_runtime.package.manifest import Needs
from optimizer import flow, metrics
from optimizer.data import Dataset
from optimizer.evaluate import Budget
from optimizer.load import load_model
from optimizer.report.html import page
from optimizer.report.record import MEMBER, Report, decode
from optimizer.report.terminal import print_result
from optimizer.request import Request
from optimizer.result import Result
from optimizer.target import Target

BUDGET = Budget.parse("5pt")


def _saved(folder: Path, model: onnx.ModelProto) -> Path:
    onnx.save_model(model, folder / "net.onnx")
    return folder / "net.onnx"


def _request(calibration: Dataset, **words: object) -> Request:
    agreement = metrics.BUILT_IN["agreement"]
    return Request(calibration, metric=agreement, budget=BUDGET, plan=QUICK, effort="quick", **words)  # type: ignore[arg-type]


def _built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, targets: Sequence[Target], model: onnx.ModelProto | None = None
) -> Result:
    """Build a small convolutional network for targets that are already found."""
    monkeypatch.setattr(flow, "all_of", lambda names, progress: tuple(targets))
    request = _request(Dataset({"x": images(40)}, None, "x.npz"))
    return flow.optimize(load_model(_saved(folder, model or residual_convnet())), request)


def _report(result: Result) -> Report:
    return decode(result.members[MEMBER])


def _said(result: Result) -> str:
    console = Console(width=240, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    print_result(result, console, "net.edgepkg")
    return console.export_text()


def test_on_the_board_itself_all_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over ssh times are the board's, and the chosen form's answers there stand in the package as evidence."""
    result = _built(tmp_path, monkeypatch, [target_at(Board())])
    variant = result.manifest.variants[0]
    assert variant.latency is not None
    assert (variant.latency.label, variant.latency.machine) == ("measured", "a board in line 3")
    assert variant.latency.milliseconds is not None
    (seen,) = variant.evidence
    assert (seen.place, seen.label, seen.exact, seen.samples) == (NAME, "measured", True, 40)
    assert "predicted" not in _said(result)
    assert f"{NAME}, while it was timed: " in _said(result)
    assert "peak memory" in _said(result)
    assert f"at {NAME}: the same bits as here on 40 samples" in _said(result)
    assert _report(result).seen[0].evidence == seen
    assert "Seen at its targets" in page(_report(result))


def test_times_of_a_board_that_was_throttled_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They prove nothing, so there is no package, and the error says what held the processor back."""
    with pytest.raises(Refused, match="under-voltage") as caught:
        _built(tmp_path, monkeypatch, [target_at(Board(throttled))])
    assert caught.value.code == "E-TARGET-THROTTLED"


def test_a_form_that_computes_something_else_there_is_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next best is taken, and the package says what the rejected form did."""
    result = _built(tmp_path, monkeypatch, [target_at(wrong_board(only_int8=True))])
    assert b"DequantizeLinear" not in result.chosen.data
    other = [lost.reason for lost in result.manifest.rejected if "it computes something else at" in lost.reason]
    fast = [one for one in result.candidates if one.scheme is not None and one.speed > 1.2]
    assert len(other) >= len(fast)
    assert all(NAME in reason and "dB" in reason for reason in other)
    assert result.manifest.variants[0].evidence[0].exact


def test_a_board_on_which_nothing_is_right_gets_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where float32 itself computes something else, no choice is left."""
    with pytest.raises(Refused, match="something else") as caught:
        _built(tmp_path, monkeypatch, [target_at(wrong_board(only_int8=False))])
    assert caught.value.code == "E-TARGET-DISAGREES"


@pytest.fixture
def no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the emulator impossible to set up, as without a network."""

    def fails(*arguments: object) -> None:
        raise EnvironmentFault("E-PLACE-EMULATION-HOST", "there is no network", "connect it")

    monkeypatch.setattr(sandbox, "prepare", fails)


@pytest.mark.usefixtures("no_emulator")
def test_without_an_emulator_the_direction_is_by_formulas_and_said_loudly(tmp_path: Path) -> None:
    """The flow goes on; nothing is called measured or verified, and no milliseconds stand anywhere."""
    model = load_model(_saved(tmp_path, residual_convnet()))
    result = flow.optimize(model, _request(Dataset({"x": images(40)}, None, "x.npz"), target="raspberry-pi-4"))
    latency = result.manifest.variants[0].latency
    assert latency is not None
    assert (latency.label, latency.quantity, latency.milliseconds) == ("predicted", "formulas", None)
    assert result.manifest.variants[0].evidence == ()
    loud = [said for said in result.warnings if "there is no network" in said]
    assert any("NO INSTRUCTION WAS COUNTED" in said for said in loud)
    assert any("UNVERIFIED" in said for said in loud)
    assert " ms" not in _said(result)


@pytest.mark.usefixtures("no_emulator")
def test_require_verified_fails_where_nothing_ran(tmp_path: Path) -> None:
    """Who must have proof gets none instead of a prediction."""
    model = load_model(_saved(tmp_path, residual_convnet()))
    request = _request(Dataset({"x": images(40)}, None, "x.npz"), target="raspberry-pi-4", require_verified=True)
    with pytest.raises(BudgetNotMet, match="there is no network") as caught:
        flow.optimize(model, request)
    assert (caught.value.code, caught.value.exit_status) == ("E-TARGET-UNVERIFIED", 4)


@pytest.mark.usefixtures("no_emulator")
def test_several_targets_share_what_is_best_for_both(tmp_path: Path) -> None:
    """Two boards for which the same form is best get one variant, and the package names both."""
    model = load_model(_saved(tmp_path, residual_convnet()))
    calibration = Dataset({"x": images(40)}, None, "x.npz")
    request = _request(calibration, target="raspberry-pi-4", more_targets=("raspberry-pi-3",))
    result = flow.optimize(model, request)
    assert result.manifest.target == "raspberry-pi-4, raspberry-pi-3"
    assert "raspberry-pi-3: " in result.manifest.chosen_because
    assert len(_report(result).others) == 1
    assert "Forms tried for raspberry-pi-3" in page(_report(result))
    (variant,) = result.manifest.variants
    assert variant.needs == Needs()
    for name in ("raspberry-pi-4", "raspberry-pi-3"):
        assert f"net v1 for {name}" in _said(result)
        assert any(f"ITS ANSWERS ON {name} ARE UNVERIFIED" in said for said in result.warnings)


def _emulated(name: str, cache: Path | None) -> Target:
    device = profile.load(name)
    return Target(name, device, place=EmulatedPlace(device, cache))


def test_instructions_decide_for_a_board_that_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox_cache: Path | None
) -> None:
    """Fewer of them is a predicted direction, never a time; the answers in the emulator are the host's."""
    result = _built(tmp_path, monkeypatch, [_emulated("raspberry-pi-4", sandbox_cache)])
    variant = result.manifest.variants[0]
    assert variant.latency is not None
    assert (variant.latency.label, variant.latency.quantity, variant.latency.milliseconds) == (
        "predicted",
        "instructions",
        None,
    )
    assert variant.latency.speedup > 1.05
    (seen,) = variant.evidence
    assert (seen.place, seen.label) == ("emulated:raspberry-pi-4", "emulated")
    assert seen.exact or (seen.agreement_db or 0) > 100
    report = _report(result)
    assert report.label == "predicted"
    assert {(form.label, form.milliseconds) for form in report.forms} == {("predicted", None)}
    assert "predicted direction: fewer instructions than float32" in _said(result)
    assert " ms" not in _said(result)
    assert "direction against as given" in page(report)
    assert {layer.milliseconds for layer in report.layers} == {None}


def test_int8_that_takes_more_instructions_is_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox_cache: Path | None
) -> None:
    """A tiny network gains nothing from int8 on a Cortex-A72: float32 stays, and the reason is a prediction."""
    model = load_model(_saved(tmp_path, mlp()))
    monkeypatch.setattr(flow, "all_of", lambda names, progress: (_emulated("raspberry-pi-4", sandbox_cache),))
    x = np.random.default_rng(0).normal(0, 1, (64, 8)).astype(np.float32)
    result = flow.optimize(model, _request(Dataset({"x": x}, None, "x.npz")))
    int8 = next(one for one in result.candidates if one.name == "cpu-u8s8")
    assert int8.rejected is not None
    assert int8.rejected.startswith("more instructions than float32 on a Cortex-A72 (predicted)")
    assert result.chosen.scheme is None
