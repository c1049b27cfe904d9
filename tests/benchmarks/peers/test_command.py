"""`python -m benchmarks.peers` as typed: what it refuses, and one asset through it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.peers.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--assets", "nowhere"], "none of the public models is there"),
        (["--model", "nowhere.onnx"], "--model needs --calibration and --evaluation"),
        (["--tools", "hammer", "--assets", "nowhere"], "none of the public models"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and a sentence, before anything runs."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_an_unknown_tool_or_model_is_refused(assets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the names that there are."""
    for option, name in (("--tools", "ort_default"), ("--models", "kws_dscnn")):
        with pytest.raises(SystemExit):
            main([option, "hammer", "--assets", str(assets)])
        said = capsys.readouterr().err
        assert "hammer" in said
        assert name in said


def test_one_model_and_one_tool(assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has the tool, scored by the model's own script; the file holds the same."""
    arguments = ["--assets", str(assets), "--models", "turbofan_rul", "--tools", "ort_best", "--rounds", "6"]
    status = main([*arguments, "--processes", "1", "--markdown", "--json", str(tmp_path / "found.json")])
    printed = capsys.readouterr().out
    assert status == 0
    assert "| ort_best |" in printed
    assert "**measured**" in printed
    (model,) = json.loads((tmp_path / "found.json").read_text())["models"]
    scored = {row["tool"]: row["metric"] for row in model["rows"] if row["session"] == {}}
    assert scored["float32"] == 15.715
    assert scored["ort_best"] < 16.5
