"""From options to what judges: each option arrives, in seconds and by name, and the decision's limits with it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_runtime.config_options import PipelineConfig, Source, WindowConfig
from edge_runtime.decision_options import AlarmConfig, QualityConfig, ReportConfig
from edge_runtime.inference.postprocess import Argmax, Outcome, Threshold
from edge_runtime.judging import guard_of, judge_of

FIELDS = Source("t/{stream}", fields=("a", "b"))
ARRAY = Source("t/{stream}", array="v", length=3)


def test_alarm_options_arrive() -> None:
    """Hysteresis at the decision's own limit, and a delay in seconds."""
    alarm = AlarmConfig(clear_below=0.5, on_delay="1min", off_count=2)
    judge = judge_of(PipelineConfig("p", "p.edgepkg", FIELDS, alarm=alarm), Threshold(above=0.8))
    story = [(0, 0.9), (59, 0.6), (60, 0.6), (61, 0.4), (62, 0.4)]
    seen = [judge.judge("s", second, Outcome(value, None, value > 0.8)).alarm for second, value in story]
    assert seen == [False, False, True, True, False]


def test_report_and_quality_options_arrive() -> None:
    """Dead-band, heartbeat, rate limit, confidence, silence, and the forced alarm."""
    config = PipelineConfig(
        "p",
        "p.edgepkg",
        FIELDS,
        report=ReportConfig("change", dead_band=0.1, at_least_every="1min", at_most_every="2s"),
        quality=QualityConfig(stale_after="1h", min_confidence=0.5, on_bad="alarm"),
    )
    judge = judge_of(config, Argmax(alarm_on=("x",)))
    story = [(0, 0.9), (1, 0.7), (3, 0.85), (5, 0.4)]
    seen = [judge.judge("s", second, Outcome(score, "y", False)) for second, score in story]
    assert [(v.report, v.quality) for v in seen] == [
        (True, "good"),
        (False, "good"),
        (False, "good"),
        (True, "uncertain"),
    ]
    judge.judge("s", 6, Outcome(0.45, "y", False))
    assert [verdict.value for _, verdict in judge.advance(65)] == [0.45]
    assert [(v.quality, v.alarm) for _, v in judge.advance(3606)] == [("stale", True)]


@pytest.mark.parametrize(
    ("source", "quality", "rows", "seen"),
    [
        (FIELDS, QualityConfig(limits={"b": (0, 1)}), [[9, 1], [9, 2]], "gb"),
        (FIELDS, QualityConfig(stuck_after=2), [[1, 1], [2, 1]], "gb"),
        (FIELDS, QualityConfig(stuck_after={"a": 2}), [[1, 1], [2, 1], [2, 1]], "ggb"),
        (ARRAY, QualityConfig(limits=(0, 1)), [[0, 1, 0], [0, 1, 1.5], [0, math.nan, 0]], "gbb"),
        (ARRAY, QualityConfig(stuck_after=2), [[0, 0, 0], [0, 0, 1], [0, 0, 1]], "ggb"),
        (ARRAY, QualityConfig(), [[0, 0, 0], [0, 0, 0]], "gg"),
    ],
)
def test_quality_options_reach_the_guard(
    source: Source, quality: QualityConfig, rows: list[list[float]], seen: str
) -> None:
    """By name, for all fields, and for arrays."""
    guard = guard_of(PipelineConfig("p", "p.edgepkg", source, quality=quality))
    assert "".join(guard.check("s", np.array(row, np.float32))[0] for row in rows) == seen


def test_a_bad_row_spoils_every_window_it_is_in() -> None:
    """The window's size comes from its own table."""
    config = PipelineConfig("p", "p.edgepkg", ARRAY, WindowConfig(size=3), quality=QualityConfig(limits=(0, 1)))
    guard = guard_of(config)
    rows = np.array([[0, 0, 0], [0, 0, 7], [0, 0, 0], [0, 0, 0], [0, 0, 0]], np.float32)
    assert guard.check_many(["s"] * 5, rows) == ["good", "bad_input", "bad_input", "bad_input", "good"]
