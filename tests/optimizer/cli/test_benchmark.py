"""`edgeopt benchmark` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper

from benchmarks import exchange
from benchmarks.latency import Interval, Plan, verdict
from devices.places.local import LocalPlace
from devices.places.place import Label
from edge_runtime.errors import Refused, WrongUsage
from edge_runtime.inference.ort import SessionSettings
from optimizer.cli.main import main
from optimizer.measure import load_subjects, measure_at

QUICK = ["--rounds", "6"]


class Emulated(LocalPlace):
    """A place whose times mean nothing."""

    label: Label = "emulated"


class Hot(LocalPlace):
    """A place that tells of a supply too weak."""

    def get(self, name: str) -> bytes:
        """Read a file; the conditions after the run tell of the fault."""
        data = super().get(name)
        if name != exchange.ANSWER:
            return data
        answer = json.loads(data)
        answer["after"]["throttling"] = {"frozenset": ["under-voltage"]}
        return json.dumps(answer).encode()


def run(*arguments: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["benchmark", *map(str, arguments)])


def chain(path: Path, layers: int, batch: int | str = "N") -> Path:
    """Write a model of so many 64 x 64 matrix products in a row."""
    names = ["x", *(f"h{index}" for index in range(layers - 1)), "y"]
    weights = [
        helper.make_tensor(f"w{index}", TensorProto.FLOAT, (64, 64), np.eye(64, dtype=np.float32).tobytes(), raw=True)
        for index in range(layers)
    ]
    nodes = [helper.make_node("MatMul", [names[index], f"w{index}"], [names[index + 1]]) for index in range(layers)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 64]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_the_table_names_every_model_and_the_machine(tmp_path: Path) -> None:
    """Names, reference, verdict, conditions and the label of the figures stand in the output."""
    result = run(chain(tmp_path / "large.onnx", 40), chain(tmp_path / "small.onnx", 1), *QUICK)
    assert result.exit_code == 0, result.output
    for words in ("large.onnx", "small.onnx", "reference", "verdict", "measured", "6 rounds", "onnxruntime", "cores"):
        assert words in result.output
    assert "seeded noise: x float32[1, 64]" in result.output


def test_json_carries_the_same(tmp_path: Path) -> None:
    """One JSON object with medians, intervals, verdicts, plan and machine."""
    large, small = chain(tmp_path / "large.onnx", 40), chain(tmp_path / "small.onnx", 1)
    result = run(large, small, "--json", "--batch", "3", *QUICK)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["label"] == "measured"
    assert (found["rounds"], found["threads"], found["batch"]) == (6, 1, 3)
    reference, other = found["models"]
    assert reference["bytes"] == large.stat().st_size
    assert reference["speedup"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert other["verdict"] == verdict(Interval(**other["speedup"]))
    for interval in (other["speedup"], other["milliseconds"]):
        assert 0.0 < interval["low"] <= interval["value"] <= interval["high"]
    assert found["notes"][0] == "inputs are seeded noise: x float32[3, 64]"


def test_one_model_alone_is_timed(tmp_path: Path) -> None:
    """A single file is fine: it is its own reference."""
    result = run(chain(tmp_path / "only.onnx", 1), *QUICK)
    assert result.exit_code == 0, result.output
    assert "only.onnx" in result.output


def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    """a/model.onnx and b/model.onnx keep as much of their path as it takes."""
    for folder in "ab":
        (tmp_path / folder).mkdir()
        chain(tmp_path / folder / "model.onnx", 1)
    found = json.loads(run(tmp_path / "a/model.onnx", tmp_path / "b/model.onnx", "--json", *QUICK).stdout)
    assert [model["name"] for model in found["models"]] == ["a/model.onnx", "b/model.onnx"]


def test_models_with_different_inputs_are_compared_with_a_word_of_warning(tmp_path: Path) -> None:
    """The output says that only times are compared, and what each model was fed."""
    result = run(chain(tmp_path / "one.onnx", 1, batch=1), chain(tmp_path / "five.onnx", 1, batch=5), *QUICK)
    assert result.exit_code == 0, result.output
    assert "only their times are compared" in result.output
    assert "x float32[5, 64]" in result.output


def test_a_given_shape_is_used(tmp_path: Path) -> None:
    """--shape decides every dimension, the batch included."""
    found = json.loads(run(chain(tmp_path / "m.onnx", 1), "--shape", "x=7,64", "--json", *QUICK).stdout)
    assert found["notes"][0] == "inputs are seeded noise: x float32[7, 64]"


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["nowhere.onnx"], "E-MODEL-NOT-FOUND", 3),
        (["nowhere.edgepkg"], "E-PACKAGE-NOT-FOUND", 3),
        (["words.onnx"], "E-MODEL-NOT-ONNX", 3),
        (["words.edgepkg"], "E-PACKAGE-NOT-A-PACKAGE", 3),
        (["fixed.onnx", "--batch", "2"], "E-OPTION-BATCH", 2),
        (["fixed.onnx", "--shape", "other=1,64"], "E-OPTION-SHAPE", 2),
        (["fixed.onnx", "--shape", "x"], "E-OPTION-SHAPE", 2),
        (["fixed.onnx", "--shape", "x=1,-64"], "E-OPTION-SHAPE", 2),
        (["fixed.onnx", "--shape", "x=1,65"], "E-MODEL-SHAPE", 3),
    ],
)
def test_mistakes_have_a_code_a_status_and_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: str, status: int
) -> None:
    """Each mistake ends with its code and exit status, names the fix, and shows no traceback."""
    monkeypatch.chdir(tmp_path)
    chain(tmp_path / "fixed.onnx", 1, batch=1)
    for name in ("words.onnx", "words.edgepkg"):
        (tmp_path / name).write_text("these are words, not a model\n", encoding="utf-8")
    result = run(*arguments, *QUICK)
    assert result.exit_code == status, result.output
    assert f"error {code}: " in result.stderr
    assert "fix: " in result.stderr
    assert "Traceback" not in result.output


def test_too_few_rounds_are_wrong_usage(tmp_path: Path) -> None:
    """Five rounds cannot give a 95 % interval; the option says so before anything is loaded."""
    result = run(tmp_path / "m.onnx", "--rounds", "5")
    assert result.exit_code == 2
    assert "x>=6" in result.output


def test_a_place_is_measured_by_its_own_process(tmp_path: Path) -> None:
    """--target local runs the packed runner: the same figures, its place, and the memory of each model."""
    result = run(chain(tmp_path / "large.onnx", 40), chain(tmp_path / "small.onnx", 1), "--target", "local", *QUICK)
    assert result.exit_code == 0, result.output
    for words in ("large.onnx", "small.onnx", "measured at local", "cores", "peak memory of a process", " MB"):
        assert words in result.output


def test_an_emulated_place_is_not_timed(tmp_path: Path) -> None:
    """The time that emulation takes says nothing about the board: refused, with the way out, before anything runs."""
    subjects = load_subjects([chain(tmp_path / "m.onnx", 1)], SessionSettings(), {}, 1)
    with pytest.raises(WrongUsage, match="ssh://") as caught:
        measure_at(Emulated(), subjects, Plan(rounds=6))
    assert caught.value.code == "E-BENCHMARK-EMULATED"


def test_times_of_a_throttled_machine_are_refused(tmp_path: Path) -> None:
    """The processor was held back meanwhile: no figures, and the error says by what."""
    subjects = load_subjects([chain(tmp_path / "m.onnx", 1)], SessionSettings(), {}, 1)
    with pytest.raises(Refused, match="under-voltage") as caught:
        measure_at(Hot(), subjects, Plan(rounds=6))
    assert caught.value.code == "E-BENCHMARK-THROTTLED"


def test_real_models_are_timed(assets: Path) -> None:
    """A real network against its weight-quantized form: both run, with a finite interval."""
    models = sorted((assets / "kws_dscnn").glob("*.onnx"))
    found = json.loads(run(*models, "--json", *QUICK).stdout)
    assert [model["name"] for model in found["models"]] == [model.name for model in models]
    assert all(model["milliseconds"]["low"] > 0 for model in found["models"])
