"""A small model through onnxruntime's tools for real, and tools that fail."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import images, residual_convnet

from benchmarks.peers.results import COPY, FLOAT32, OURS, Row, Table
from benchmarks.peers.run import SATURATING, Setup, run
from benchmarks.peers.tools import TOOLS
from benchmarks.peers.work import Work, from_assets

ORT_TOOLS = ("ort_default", "ort_best", "ort_percentile", "ort_layers", "ort_dynamic")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Return a residual network of opset 11, which cannot carry scales per channel, with noise as data."""
    folder = tmp_path_factory.mktemp("work")
    onnx.save(residual_convnet(opset=11), folder / "small.onnx")
    np.savez(folder / "calibration.npz", x=images(120, seed=1))
    np.savez(folder / "evaluation.npz", x=images(60, seed=2))
    return Work(
        "small",
        folder / "small.onnx",
        folder / "calibration.npz",
        folder / "evaluation.npz",
        metric="agreement",
        max_drop="20pt",
    )


def setup(tools: tuple[str, ...], folder: Path, timeout: float = 120.0) -> Setup:
    """Return the shortest measurement there is."""
    return Setup(tools, folder / "environments", timeout, rounds=6, processes=1)


def rows(table: Table) -> dict[str, Row]:
    """Return the rows by tool, without the second session of each."""
    return {row.tool: row for row in table.rows if row.session != SATURATING}


@pytest.fixture(scope="module")
def small(work: Work, tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, list[str]]:
    """Return the small model's table with all of onnxruntime's tools, and what was said meanwhile."""
    folder = tmp_path_factory.mktemp("run")
    before = work.model.read_bytes()
    (folder / "files").mkdir()
    said: list[str] = []
    table, _ = run(work, setup(ORT_TOOLS, folder), folder / "files", said.append)
    assert work.model.read_bytes() == before
    return table, said


def test_every_ort_tool_gives_a_form_that_runs(small: tuple[Table, list[str]]) -> None:
    """All five quantize the model, are scored and timed, and say what it cost."""
    found = rows(small[0])
    assert list(found) == [FLOAT32, COPY, *ORT_TOOLS]
    for tool in ORT_TOOLS:
        row = found[tool]
        assert row.reason is None
        assert row.metric is not None
        assert row.metric > 0.5
        assert len(row.speedups) == 1
        assert row.size > 0
        assert row.seconds > 0
        assert row.peak_bytes > 10_000_000
        assert row.version.startswith("onnxruntime ")
    assert found[FLOAT32].metric == 1.0
    assert [message.partition(": ")[2] for message in small[1]][: len(ORT_TOOLS)] == list(ORT_TOOLS)


def test_the_budget_follows_from_float32(small: tuple[Table, list[str]]) -> None:
    """20 points below an agreement of 1."""
    assert small[0].worst == pytest.approx(0.8)
    assert small[0].higher_is_better


def test_a_tool_that_fails_is_a_row_with_its_reason(work: Work, tmp_path: Path) -> None:
    """A tool over its time, and one that does not install, stand beside the others; nothing is raised."""
    files = tmp_path / "files"
    files.mkdir()
    blocked = tmp_path / "environments"
    blocked.mkdir()
    (blocked / "nncf").write_text("a file where the environment's folder has to be")
    table, _ = run(work, setup(("ort_best", "nncf"), tmp_path, timeout=0.0), files, lambda _: None)
    found = rows(table)
    assert (found["ort_best"].reason or "").startswith("stopped after")
    assert (found["nncf"].reason or "").startswith("not installed: ")
    assert found["ort_best"].speedups == found["nncf"].speedups == ()
    assert found[FLOAT32].speedups


def test_a_model_that_cannot_be_read_ends_the_run(work: Work, tmp_path: Path) -> None:
    """Without float32 there is nothing to compare with: the reason is raised."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(RuntimeError, match="E-MODEL"):
        run(
            Work("broken", broken, work.calibration, work.evaluation, "agreement", "1pt"),
            setup((), tmp_path),
            tmp_path,
            lambda _: None,
        )


def test_our_row_comes_from_the_command(work: Work, tmp_path: Path) -> None:
    """`edgeopt quantize` runs as a user types it, and the package's variant is scored like all others."""
    if not Path(sys.executable).with_name("edgeopt").exists():
        pytest.skip("needs edgeopt installed beside this Python")
    table, _ = run(work, setup((OURS,), tmp_path), tmp_path, lambda _: None)
    ours = rows(table)[OURS]
    assert ours.reason is None
    assert ours.note
    assert table.inside(ours)


def test_every_tool_keeps_the_contract() -> None:
    """Each module loads here, without its library, and has its constants and its function."""
    for tool in TOOLS:
        module = importlib.import_module(f"benchmarks.peers.tools.{tool}")
        assert module.ABOUT
        assert module.DISTRIBUTION
        assert isinstance(module.REQUIREMENTS, tuple)
        assert callable(module.quantize)


def test_the_public_models_are_found(assets: Path) -> None:
    """All three, each judged by the script that lies beside it."""
    works = from_assets(assets)
    assert list(works) == ["cifar10_resnet8", "kws_dscnn", "turbofan_rul"]
    for work in works.values():
        assert work.judge is not None
        assert all(path.is_file() for path in (work.model, work.calibration, work.evaluation, work.judge))
    assert works["turbofan_rul"].worst(15.715) == 15.9
    assert works["kws_dscnn"].worst(0.905) == pytest.approx(0.902)
    assert not works["turbofan_rul"].higher_is_better


def test_no_public_models_is_no_error_here(tmp_path: Path) -> None:
    """The command says what to do; the function only finds nothing."""
    assert from_assets(tmp_path) == {}
