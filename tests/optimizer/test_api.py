"""`optimizer.optimize`: arrays and files, pairs and labels, options; and the page that tells of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from commands import DATA, prepared, run

import optimizer
from benchmarks.latency import Plan
from edge_runtime.errors import BadInput, BudgetNotMet
from edge_runtime.package import archive
from edge_runtime.package.serving import load_for_serving

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
QUICK = Plan(rounds=6, slot_seconds=0.002, warmup_seconds=0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a model and data."""
    return prepared(tmp_path)


def _arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return dict(arrays)


def test_files_give_the_package_of_the_command(folder: Path) -> None:
    """The same model, data, options and times: the same bytes, whichever way it was asked for."""
    done = run(
        *("quantize", "net.onnx", *DATA, "--metric", "mae", "--max-drop", "1pt", "--effort", "quick", "--no-cache"),
        *("--confidence", "0.9", "--threads", "auto", "--method", "entropy"),
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    package = folder / "net.edgepkg"
    result = optimizer.optimize(
        folder / "net.onnx",
        (folder / "calib.npz", str(folder / "test.npz")),
        metric="mae",
        effort="quick",
        confidence=0.9,
        threads="auto",
        method="entropy",
        measurements=package,
    )
    result.write(folder / "api.edgepkg")
    assert (folder / "api.edgepkg").read_bytes() == package.read_bytes()


def test_arrays_give_what_their_files_give(folder: Path) -> None:
    """Arrays with labels as y: the same fingerprints, accuracies and forms as from the files."""
    files = (folder / "calib.npz", folder / "test.npz")
    one = optimizer.optimize(folder / "net.onnx", files, metric="mae", effort="quick", plan=QUICK)
    arrays = (_arrays(files[0]), _arrays(files[1]))
    other = optimizer.optimize(folder / "net.onnx", arrays, metric="mae", effort="quick", plan=QUICK)
    assert one.manifest.source == other.manifest.source
    assert [(form.name, form.data, form.accuracy) for form in one.candidates] == [
        (form.name, form.data, form.accuracy) for form in other.candidates
    ]


def test_one_dataset_calibrates_and_judges(folder: Path) -> None:
    """Samples that are no pair do both, with the warning that this is optimistic."""
    result = optimizer.optimize(folder / "net.onnx", folder / "calib.npz", effort="quick", plan=QUICK)
    assert any("optimistic" in warning for warning in result.warnings)


def test_a_path_of_text_is_written_to(folder: Path) -> None:
    """Paths are text or Path everywhere, the written package is served."""
    result = optimizer.optimize(str(folder / "net.onnx"), plan=QUICK)
    result.write(str(folder / "t.edgepkg"))
    assert load_for_serving(folder / "t.edgepkg").manifest.name == "net"


def test_a_cache_given_as_text_is_used(folder: Path) -> None:
    """The second call takes everything from the folder."""
    options = {"cache": str(folder / "cache"), "effort": "quick", "plan": QUICK}
    optimizer.optimize(folder / "net.onnx", folder / "calib.npz", **options)
    again = optimizer.optimize(folder / "net.onnx", folder / "calib.npz", **options)
    assert again.cached.hits == again.cached.asked > 0


def test_errors_are_those_of_the_command(folder: Path) -> None:
    """A class, a code and a fix; a word that does not exist is Python's own error."""
    with pytest.raises(BadInput, match="E-METRIC-UNKNOWN"):
        optimizer.optimize(folder / "net.onnx", metric="topp1")
    with pytest.raises(BudgetNotMet):
        optimizer.optimize(
            folder / "net.onnx", (None, folder / "test.npz"), "mae", budget="0pt", require_int8=True, plan=QUICK
        )
    with pytest.raises(TypeError, match="efort"):
        optimizer.optimize(folder / "net.onnx", efort="quick")


def test_an_edited_metric_is_seen_by_the_next_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook the process outlives the edit; what runs is what stands in the file."""
    monkeypatch.chdir(folder)
    found = []
    for weight in (1.0, 2.0):
        (folder / "notebook_metric.py").write_text(f"def score(outputs, labels):\n    return {weight}\n")
        data = (None, folder / "test.npz")
        result = optimizer.optimize("net.onnx", data, "notebook_metric:score", cache=folder / "cache", plan=QUICK)
        assert result.candidates[0].accuracy is not None
        found.append(result.candidates[0].accuracy.value)
    assert found == [1.0, 2.0]


def test_the_example_on_the_page_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second block of docs/python.md, as it stands, writes a package that is served."""
    monkeypatch.chdir(folder)
    _, example = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})  # noqa: S102 - our own page
    assert archive.read(folder / "net.edgepkg").manifest.name == "net"


def test_the_page_names_what_there_is() -> None:
    """Every attribute of a result on the page exists."""
    page = PAGE.read_text(encoding="utf-8").partition("of a `Result`")[2]
    from optimizer.result import Result

    named = set(re.findall(r"^\| `(\w+)", page, re.MULTILINE))
    assert named <= {*Result.__dataclass_fields__, "write"}
    assert {"chosen", "candidates", "manifest", "warnings", "write"} <= named
