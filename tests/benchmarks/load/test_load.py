"""The real programs on a real broker, in short: the same answers, figures for each, and readings shared out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import daemon_load
from benchmarks.load import broker, scale, scenario
from benchmarks.load.broker import Mosquitto
from benchmarks.load.programs import start_daemon, start_naive
from benchmarks.load.run import Plan, Rig
from edge_runtime.errors import EnvironmentFault

SHORT = Plan(rounds=1, closed=0.2, paced=0.2, rest=0.1, readings=50)


@pytest.mark.parametrize("load", scenario.scenarios(), ids=lambda load: load.name)
def test_naive_script_and_daemon_answer_alike(load: scenario.Scenario, tmp_path: Path) -> None:
    """Each of 50 readings, and all that follow, within 1e-6 and with none missing, at both QoS and with windows."""
    with Mosquitto(tmp_path) as private:
        rig = Rig(tmp_path, private, SHORT)
        expected = rig.record(load)
        found = rig.slot(load, ("daemon", start_daemon), 0, expected)
    assert len(set(expected)) == SHORT.readings
    assert found.lost == 0
    assert found.answers > 200
    assert found.worst is not None
    assert found.worst <= 1e-6
    assert {"cpu_us", "rate", "p50_100", "p99_1000", "cpu_rest", "rss", "broker_us"} <= set(found.figures)
    assert 0 < found.figures["p50_100"] <= found.figures["p99_100"]


def test_a_wrong_answer_is_seen(tmp_path: Path) -> None:
    """An expectation that is off by 0.5 in one reading makes 0.5 the largest difference."""
    load = scenario.scenarios()[0]
    with Mosquitto(tmp_path) as private:
        rig = Rig(tmp_path, private, SHORT)
        expected = rig.record(load)
        expected[7] += 0.5
        found = rig.slot(load, ("naive", start_naive), 0, expected)
    assert found.worst == pytest.approx(0.5)


def test_two_daemons_share_what_one_would_get(tmp_path: Path) -> None:
    """Each reading is answered once, by one of the two, and both work."""
    load = scenario.scenarios()[0]
    (found,) = scale.run(load, [2], SHORT, lambda line: None)
    assert (found.program, found.lost) == ("2", 0)
    assert found.worst is not None
    assert found.worst <= 1e-6
    assert found.figures["busiest"] < 90


def test_a_program_that_does_not_start_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With its own last words, and nothing left running."""
    load = scenario.Scenario("broken", "broken", b"no model", 0, 1, ("naive",))
    with Mosquitto(tmp_path) as private, pytest.raises(EnvironmentFault, match="exit status 1") as ended:
        Rig(tmp_path, private, SHORT).record(load)
    assert ended.value.code == "E-LOAD-PROGRAM"
    assert "InvalidProtobuf" in capfd.readouterr().err


def test_without_mosquitto_there_is_no_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 5 and the command that installs it."""
    monkeypatch.setattr(broker.shutil, "which", lambda name, path=None: None)
    assert daemon_load.main(["--quick", "--loads", "mlp-qos1"]) == 5
    assert "apt-get install mosquitto" in capsys.readouterr().err


def test_the_command_says_whether_goals_are_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One short run: the table, one verdict for each goal, the machine, and the same in a file."""
    monkeypatch.setattr(daemon_load, "_QUICK", SHORT)
    status = daemon_load.main(["--quick", "--loads", "mlp-qos1", "--markdown", "--json", str(tmp_path / "found.json")])
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    assert status == int(any(each["holds"] is False for each in found["verdicts"]))
    assert printed.startswith("**measured**")
    assert "load average" in printed
    assert {slot["program"] for slot in found["slots"]} == {"naive", "daemon", "bare session"}
    assert found["verdicts"][-1]["holds"] is True
