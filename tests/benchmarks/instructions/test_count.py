"""Instructions of an inference on two boards' processors: what is on file is found again, and more are noticed."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest

from benchmarks.inputs import synthetic_feeds
from benchmarks.instructions import plugin
from benchmarks.instructions.__main__ import main
from benchmarks.instructions.count import Counts, count
from benchmarks.instructions.record import changes, record
from benchmarks.remote import Form
from devices import profile
from devices.places.emulated import EmulatedPlace
from edge_runtime.errors import BadInput, EnvironmentFault
from edge_runtime.inference.ort import OrtEngine

sys.path.insert(0, str(Path(__file__).parent))

import fixed_forms

BOARDS = ("raspberry-pi-4", "raspberry-pi-5")
RECORDED = Path(__file__).with_name("recorded.json")


@pytest.fixture(scope="module")
def forms() -> list[Form]:
    """Return the demo's forms, and those of the shared models where they are."""
    made = fixed_forms.of_demo()
    if fixed_forms.SHARED.is_dir():
        made += [form for name in fixed_forms.ASSETS for form in fixed_forms.of_asset(fixed_forms.SHARED, name)]
    return made


@pytest.fixture
def recorded_here() -> None:
    """Skip where counts of another onnxruntime are on file: another release has other kernels."""
    version = json.loads(RECORDED.read_text(encoding="utf-8"))["onnxruntime"]
    if version != metadata.version("onnxruntime"):
        pytest.skip(f"the counts on file are of onnxruntime {version}: record them again")


@pytest.mark.usefixtures("recorded_here")
@pytest.mark.parametrize("board", BOARDS)
def test_the_counts_on_file_are_found_again(forms: list[Form], board: str, sandbox_cache: Path | None) -> None:
    """Within 0.5 %, for every form; int8 takes fewer instructions than float32, and those of its board's kind."""
    feeds = [synthetic_feeds(OrtEngine(form.model)) for form in forms]
    counted = count(EmulatedPlace(profile.load(board), sandbox_cache), forms, feeds)
    assert [str(one) for one in changes(RECORDED, board, counted) if one.verdict != "equal"] == []
    for fp32, int8 in zip(forms[::2], forms[1::2], strict=True):
        few, many = counted[int8.name], counted[fp32.name]
        assert few.total < many.total
        assert few.by_class["fmla"] < 0.1 * many.by_class["fmla"]
        assert bool(few.by_class["dot"]) == (board == "raspberry-pi-5")
        assert many.by_class["dot"] == few.by_class["mmla"] == 0


def test_a_model_that_does_not_run_is_named(sandbox_cache: Path | None) -> None:
    """The reason comes from the emulated onnxruntime."""
    form, *_ = fixed_forms.of_demo()
    broken = Form("broken", form.model[:100])
    with pytest.raises(EnvironmentFault, match=r"broken: onnxruntime .* cannot load the model") as error:
        count(EmulatedPlace(profile.load("raspberry-pi-4"), sandbox_cache), [broken], {})
    assert error.value.code == "E-INSTRUCTIONS-RUN"


@pytest.mark.usefixtures("recorded_here", "sandbox_cache")
def test_more_instructions_than_on_file_fail_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By command: 1 % more ends with status 4 and names the form; the new counts are in the table and in the file."""
    form, *_ = fixed_forms.of_demo()
    model, new, old = tmp_path / f"{form.name}.onnx", tmp_path / "new.json", tmp_path / "old.json"
    model.write_bytes(form.model)
    content = json.loads(RECORDED.read_text(encoding="utf-8"))
    content["targets"]["raspberry-pi-4"][form.name]["fmla"] -= 25_000  # of 2.1 million in all
    old.write_text(json.dumps(content), encoding="utf-8")
    assert main([str(model), "--record", str(new), "--check", str(old)]) == 4
    shown = capsys.readouterr()
    assert "predicted: a direction, never milliseconds" in shown.out
    assert "E-INSTRUCTIONS-MORE: more instructions than on file: bearing.fp32" in shown.err
    assert [*json.loads(new.read_text(encoding="utf-8"))["targets"]["raspberry-pi-4"]] == [form.name]


def counts(**by_class: int) -> dict[str, Counts]:
    """Return counts of one form."""
    return {"form": Counts(by_class)}


@pytest.mark.parametrize(
    ("now", "verdict"), [(100_400, "equal"), (99_600, "equal"), (100_600, "more"), (99_400, "fewer")]
)
def test_half_a_percent_is_no_change(tmp_path: Path, now: int, verdict: str) -> None:
    """More is told from fewer, and both from what repeats."""
    record(tmp_path / "counts.json", "board", counts(fmla=60_000, scalar=40_000))
    (change,) = changes(tmp_path / "counts.json", "board", counts(fmla=60_000, scalar=now - 60_000))
    assert change.verdict == verdict


def test_recording_keeps_what_is_there(tmp_path: Path) -> None:
    """Another board's and another form's counts stay."""
    file = tmp_path / "counts.json"
    record(file, "one", counts(fmla=1))
    record(file, "two", counts(fmla=2))
    record(file, "one", {"other": Counts({"fmla": 3})})
    assert json.loads(file.read_text(encoding="utf-8"))["targets"] == {
        "one": {"form": {"fmla": 1}, "other": {"fmla": 3}},
        "two": {"form": {"fmla": 2}},
    }


def test_a_file_that_compares_nothing_is_refused(tmp_path: Path) -> None:
    """Another onnxruntime's counts, a form that is not on file, no record at all: each is its own error."""
    file = tmp_path / "counts.json"
    record(file, "board", counts(fmla=1))
    with pytest.raises(BadInput, match="holds no other for board"):
        changes(file, "board", {"other": Counts({"fmla": 1})})
    file.write_text('{"onnxruntime": "0.1", "targets": {}}', encoding="utf-8")
    with pytest.raises(EnvironmentFault, match=r"onnxruntime 0\.1"):
        changes(file, "board", counts(fmla=1))
    for content in ("[]", "{", "{}"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(BadInput, match="E-INSTRUCTIONS-RECORD"):
            changes(file, "board", counts(fmla=1))


def test_without_a_compiler_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No gcc on the search path; and one that fails."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="apt-get install gcc"):
        plugin.built(tmp_path)
    failing = tmp_path / "gcc"
    shutil.copy("/bin/false", failing)
    with pytest.raises(EnvironmentFault, match="cannot build the instruction counter"):
        plugin.built(tmp_path)
