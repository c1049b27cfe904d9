"""`edgeopt quantize` under faults: full disks, read-only folders, and metrics of the user's own that misbehave."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from commands import DATA, IN_PROCESSES, dask_cluster, prepared, run, with_environment

from edge_runtime.package import archive

QUICK = ("quantize", "net.onnx", *DATA, "--metric", "mae", "--max-drop", "1pt", "--effort", "quick")
PACKAGE_BYTES = 40_000  # more than any model or entry here, less than the package with its 16 golden images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a model and data."""
    return prepared(tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Run a Dask cluster for this module."""
    yield from dask_cluster()


@contextmanager
def mounted(place: Path, *how: str) -> Iterator[Path]:
    """Mount something, or skip where that is not allowed."""
    place.mkdir(exist_ok=True)
    if subprocess.run(["mount", *how, str(place)], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def small_disk(place: Path, size: str) -> AbstractContextManager[Path]:
    """Mount a disk of that size."""
    return mounted(place, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


def _refused(done: subprocess.CompletedProcess[str], status: int, code: str) -> None:
    assert done.returncode == status, done.stdout + done.stderr
    assert f"error {code}:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_too_full_for_the_package_leaves_the_old_one(folder: Path) -> None:
    """E-FILE-WRITE; the package that was there is there to the last byte, and nothing beside it."""
    (folder / "net.edgepkg").write_bytes(b"the old one")
    before = sorted(folder.iterdir())
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (PACKAGE_BYTES, PACKAGE_BYTES))
    _refused(run(*QUICK, "--no-cache", folder=folder, preexec_fn=limit), 5, "E-FILE-WRITE")
    assert (folder / "net.edgepkg").read_bytes() == b"the old one"
    assert sorted(folder.iterdir()) == before


def test_a_disk_too_full_for_the_page_leaves_the_old_one(folder: Path) -> None:
    """The package is written and said to be; the report is E-FILE-WRITE, and the old one untouched."""
    with small_disk(folder / "disk", "8k") as disk:
        (disk / "r.html").write_text("old")
        done = run(*QUICK, "--no-cache", "--report", "disk/r.html", folder=folder)
        _refused(done, 5, "E-FILE-WRITE")
        assert [file.name for file in disk.iterdir()] == ["r.html"]
        assert (disk / "r.html").read_text() == "old"
    assert "wrote    net.edgepkg" in done.stdout
    archive.read(folder / "net.edgepkg")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_full_cache_is_a_warning(folder: Path, as_json: bool) -> None:
    """The work goes on, the user is told, and the package does not speak of this machine's disk."""
    with small_disk(folder / "disk", "4k") as disk:
        done = run(*QUICK, "--cache", "disk", *(["--json"] if as_json else []), folder=folder)
        assert list(disk.glob(".*")) == []
    assert done.returncode == 0, done.stderr
    assert "nothing could be kept for the next run" in (done.stderr if as_json else done.stdout)
    members = archive.read(folder / "net.edgepkg").members
    assert b"nothing could be kept" not in members["report.json"]


def test_a_full_folder_for_temporary_files_is_an_error_with_a_code(folder: Path) -> None:
    """Graphs that onnxruntime rewrites pass through a temporary folder; where that is full, no traceback is shown."""
    with small_disk(folder / "disk", "4k") as disk:
        done = run(*QUICK, "--no-cache", folder=folder, env=with_environment(TMPDIR=str(disk)))
        assert list(disk.iterdir()) == []
    _refused(done, 5, "E-FILE-WRITE")


def test_a_read_only_folder_of_models_works(folder: Path, tmp_path: Path) -> None:
    """Nothing is ever written beside the model: its folder can be read-only."""
    here = tmp_path / "here"
    here.mkdir()
    with mounted(tmp_path / "models", "--bind", str(folder)) as models:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(models)], check=True)
        words = [f"../models/{word}" if word.endswith((".npz", ".onnx")) else word for word in QUICK]
        done = run(*words, "--cache", "cache", folder=here)
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in here.iterdir()) == ["cache", "net.edgepkg"]


METRICS = {
    "raises": ("raise RuntimeError('no luck')", "E-USER-FUNCTION"),
    "nothing": ("return float('nan')", "E-METRIC-NAN"),
    "text": ("return 'good'", "E-USER-FUNCTION"),
    "restless": ("state.append(0); return float(len(state))", "E-METRIC-UNSTABLE"),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_that_misbehaves_has_a_code(folder: Path, name: str) -> None:
    """Each fault is told apart, without a traceback, and nothing is written: no package, no __pycache__."""
    body, code = METRICS[name]
    (folder / "own.py").write_text(f"state = []\ndef {name}(outputs, labels):\n    {body}\n")
    before = sorted(folder.iterdir())
    done = run("quantize", "net.onnx", *DATA, "--metric", f"own:{name}", "--no-cache", folder=folder)
    _refused(done, 3, code)
    assert sorted(folder.iterdir()) == before


def _write_metric(folder: Path, weight: float) -> None:
    """Write a metric whose module needs another module of the same folder, and one more when it is called."""
    (folder / "helper.py").write_text(f"weight = {weight}\n")
    (folder / "later.py").write_text("import numpy as np\n")
    (folder / "own.py").write_text(
        "from helper import weight\n"
        "def score(outputs, labels):\n"
        "    from later import np\n"
        "    return 1 - weight * float(np.abs(outputs - labels).mean())\n"
    )


OWN = ("quantize", "net.onnx", *DATA, "--metric", "own:score", "--max-drop", "0.0001pt", "--cache", "cache")


def _value(folder: Path) -> float:
    report = archive.read(folder / "net.edgepkg").members["report.json"]
    from optimizer.report.record import decode

    static = next(form for form in decode(report).forms if form.name in {"cpu-u8s8", "cpu-avx2-safe"})
    assert static.accuracy is not None
    assert static.accuracy.value is not None
    return static.accuracy.value


def test_an_edited_metric_is_not_answered_from_the_cache(folder: Path) -> None:
    """Neither where the file itself was edited, nor where one it imports was."""
    _write_metric(folder, 1.0)
    assert run(*OWN, folder=folder).returncode == 0
    once = 1 - _value(folder)
    _write_metric(folder, 3.0)
    done = run(*OWN, folder=folder)
    assert done.returncode == 0, done.stderr
    assert 1 - _value(folder) == pytest.approx(3 * once, rel=1e-3)


def test_worker_processes_find_the_metric(folder: Path) -> None:
    """Processes of this machine import it, and what it needs, from where the command was typed."""
    _write_metric(folder, 1.0)
    done = run(*OWN, "--effort", "quick", folder=folder, command=IN_PROCESSES)
    assert done.returncode == 0, done.stderr


def test_a_cluster_finds_the_metric_and_sees_its_edits(folder: Path, cluster: str) -> None:
    """A worker of a cluster was started elsewhere and outlives an edit: it answers with the file as it is now."""
    for weight in (1.0, 3.0):
        _write_metric(folder, weight)
        done = run(*OWN, "--effort", "quick", "--executor", cluster, folder=folder)
        assert done.returncode == 0, done.stderr
        found = _value(folder)
        assert run(*OWN, "--effort", "quick", "--no-cache", "--executor", "inline", folder=folder).returncode == 0
        assert found == _value(folder)


def test_an_error_in_a_worker_arrives_whole(folder: Path) -> None:
    """A metric that fails in worker processes alone is named with its code, file and line."""
    (folder / "own.py").write_text(
        "import multiprocessing\n"
        "def score(outputs, labels):\n"
        "    if multiprocessing.parent_process() is not None:\n"
        "        raise RuntimeError('only here')\n"
        "    return 1 - float(abs(outputs - labels).mean())\n"
    )
    done = run(*OWN, folder=folder, command=IN_PROCESSES)
    _refused(done, 3, "E-USER-FUNCTION")
    assert "own.py:4: RuntimeError: only here" in done.stderr


def test_a_budget_that_cannot_be_met_names_the_one_that_can(folder: Path) -> None:
    """Exit 4 tells which form loses least and what it needs; with exactly that the same command passes."""
    words = ("quantize", "net.onnx", "--evaluation", "test.npz", "--metric", "mae", "--require", "int8", "--no-cache")
    refused = run(*words, "--max-drop", "0pt", folder=folder)
    _refused(refused, 4, "E-BUDGET-INT8")
    found = re.search(r"(\S+) loses least and needs --max-drop ([\d.]+pt)", refused.stderr)
    assert found, refused.stderr
    assert not (folder / "net.edgepkg").exists()
    passed = run(*words, "--max-drop", found[2], folder=folder)
    assert passed.returncode == 0, passed.stderr
    assert archive.read(folder / "net.edgepkg").manifest.variants[0].name == found[1]


def test_where_int8_is_only_slow_no_larger_budget_is_advised(folder: Path) -> None:
    """The next step must be one that helps: more budget does not make a form faster."""
    done = run(*QUICK, "--require", "int8", "--no-cache", folder=folder)
    if done.returncode == 0:
        pytest.skip("int8 is faster on this machine")
    _refused(done, 4, "E-BUDGET-INT8")
    assert "not faster on this machine" in done.stderr
    assert "--max-drop" not in done.stderr


def test_one_class_is_told_apart_by_metric(folder: Path) -> None:
    """Where a metric needs two classes it is refused; where it does not, the result warns."""
    x = np.load(folder / "test.npz")["x"]
    np.savez(folder / "one.npz", x=x, y=np.ones(len(x), int))
    words = ("quantize", "net.onnx", "--calibration", "calib.npz", "--evaluation", "one.npz", "--no-cache")
    assert "of class 1" in run(*words, "--metric", "top1", "--effort", "quick", folder=folder).stdout
    _refused(run(*words, "--metric", "auc", folder=folder), 3, "E-METRIC-ONE-CLASS")
