"""What every tool is given: a model, samples to calibrate with, and how the result is judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CALIBRATION_SAMPLES = 100


@dataclass(frozen=True)
class Work:
    """One model and its data.

    Attributes:
        name: For the table.
        model: The float32 model.
        calibration: File whose first 100 samples every tool gets.
        evaluation: File with labelled samples.
        metric: In `edgeopt quantize`'s words.
        max_drop: The budget, in `edgeopt quantize`'s words.
        judge: Script that prints the metric of a model, independent of edgeopt; None for edgeopt's own metric.
        figure: The word before the number that is printed.
        limit: The worst value inside the budget; None where it follows from `max_drop`.
    """

    name: str
    model: Path
    calibration: Path
    evaluation: Path
    metric: str
    max_drop: str
    judge: Path | None = None
    figure: str = "value"
    limit: float | None = None

    @property
    def higher_is_better(self) -> bool:
        """Tell the metric's direction."""
        from optimizer import metrics

        return metrics.find(self.metric).higher_is_better

    def worst(self, reference: float) -> float:
        """Return the worst value inside the budget, given float32's."""
        from optimizer import metrics
        from optimizer.evaluate import Budget

        if self.limit is not None:
            return self.limit
        metric = metrics.find(self.metric)
        allowed = Budget.parse(self.max_drop).allowed(metric, reference)
        return reference - allowed if metric.higher_is_better else reference + allowed


def from_assets(folder: Path) -> dict[str, Work]:
    """Return the three public models that lie in the assets folder, by name; a folder without them gives none."""
    known = [
        _asset(folder / "cifar10_resnet8", "calib_500.npz", "test_2000.npz"),
        _asset(folder / "kws_dscnn", "calib_200.npz", "test_800.npz"),
        _turbofan(folder / "turbofan_rul"),
    ]
    return {work.name: work for work in known if work.model.is_file()}


def _asset(folder: Path, calibration: str, evaluation: str) -> Work:
    return Work(
        folder.name,
        folder / "model.onnx",
        folder / calibration,
        folder / evaluation,
        metric="top1",
        max_drop="0.3pt",
        judge=folder / "eval.py",
        figure="top1",
    )


def _turbofan(folder: Path) -> Work:
    return Work(
        folder.name,
        folder / "model.onnx",
        folder / "calib.npz",
        folder / "test.npz",
        metric="rmse",
        max_drop="1%",
        judge=folder / "eval.py",
        figure="RMSE",
        limit=15.9,
    )
