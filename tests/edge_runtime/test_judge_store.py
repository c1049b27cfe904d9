"""What judges remember outlives a clean stop, and a start that came to nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.load import models
from edge_runtime.assemble import Assembled, assemble
from edge_runtime.config_options import PipelineConfig, Source
from edge_runtime.decision_options import ReportConfig
from edge_runtime.inference.postprocess import Outcome, Value
from edge_runtime.judge_store import JudgeStore

OUTCOME = Outcome(1.0)


@pytest.fixture
def mlp(tmp_path: Path) -> Path:
    """Return a folder with a package."""
    models.write_package(tmp_path / "mlp.edgepkg", models.mlp(), "mlp")
    return tmp_path


def _assembled(folder: Path) -> Assembled:
    source = Source(topic="plant/{stream}/state", fields=tuple("abcdefgh"))
    config = PipelineConfig("mlp", "mlp.edgepkg", source, decision=Value(), report=ReportConfig(on="change"))
    one = assemble(config, folder, {})
    one.pipeline.gatherer.windows.push("pump", np.zeros(8, np.float32), None)
    return one


def test_a_start_without_a_broker_keeps_what_was_saved(mlp: Path, tmp_path: Path) -> None:
    """Until readings come in the file stays; afterwards it is older than what the broker holds, and goes."""
    before, store = _assembled(mlp), JudgeStore(tmp_path / "daemon.judged")
    assert before.judge.judge("pump", 0.0, OUTCOME).report
    store.save([before], 0.0)
    for _ in range(2):
        after = _assembled(mlp)
        store.restore([after], 10.0)
        assert not after.judge.judge("pump", 11.0, OUTCOME).report
    store.begin()
    store.begin()
    afresh = _assembled(mlp)
    store.restore([afresh], 10.0)
    assert afresh.judge.judge("pump", 11.0, OUTCOME).report
    assert store.damaged == 0


def test_a_damaged_file_is_counted(mlp: Path, tmp_path: Path) -> None:
    """One flipped bit, and alarms begin anew."""
    before, store = _assembled(mlp), JudgeStore(tmp_path / "daemon.judged")
    before.judge.judge("pump", 0.0, OUTCOME)
    store.save([before], 0.0)
    data = (tmp_path / "daemon.judged").read_bytes()
    (tmp_path / "daemon.judged").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    after = _assembled(mlp)
    store.restore([after], 1.0)
    assert store.damaged == 1
    assert after.judge.judge("pump", 2.0, OUTCOME).report
