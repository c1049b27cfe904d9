"""What the user wants from an optimization, in one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.latency import Plan
from devices import profile
from edge_runtime.inference.features import Features
from edge_runtime.inference.postprocess import Decision
from edge_runtime.inference.preprocess import Preprocess
from optimizer import metrics
from optimizer.data import Dataset
from optimizer.evaluate import CONFIDENCE, Budget
from optimizer.executor import INLINE
from optimizer.search import Effort
from optimizer.stopwatch import Timed


@dataclass(frozen=True)
class Identity:
    """What the package calls itself and how its model is fed and read.

    Attributes:
        name: Model name in every message; the model's file name where empty.
        version: Counts up with every release of this model.
        preprocess: Applied before the model, in calibration and serving alike.
        decision: How the output is read, None leaves it to the daemon's configuration.
        features: Computed of raw windows before `preprocess`; None where the model takes the window itself.
    """

    name: str = ""
    version: int = 1
    preprocess: Preprocess = field(default_factory=Preprocess)
    decision: Decision | None = None
    features: Features | None = None


@dataclass(frozen=True)
class Request:
    """What the user wants.

    Attributes:
        calibration: Samples that show the ranges of activations; None allows data-free schemes only.
        evaluation: Samples the metric is computed on; None falls back to the calibration samples, with a warning.
        metric: The metric of the budget.
        budget: How much of it may be spent.
        confidence: Coverage of the intervals of metric and loss.
        target: A device profile, ``emulated:PROFILE`` or ``ssh://user@host[:port]``, as `optimizer.target` finds it.
        more_targets: Further ones; the package holds a variant for each.
        output: The model output the metric looks at, None for the first float one.
        shapes: Input name -> shape for open dimensions, where there are no data to take it from.
        threads: Intra-op threads, for measuring and for serving.
        tune_threads: Whether to serve with more threads where they are measured to be worth their cores.
        effort: How long to search for the best placement of int8.
        method: How ranges are read from what calibration saw: auto, minmax, percentile, entropy or mse.
        memory: Bytes of activations held at a time while observing, None for the default.
        require_int8: Fail rather than return float32.
        require_verified: Fail where nothing ran at a target.
        also_float32: Add the user's own model as a last variant even where another runs on any machine.
        identity: Name, version and serving steps written into the package.
        plan: How long to measure.
        executor: Where forms are made and judged: local, inline or dask://HOST:PORT.
        cache: Folder of results that need not be computed again, None for none.
        measurements: Comparisons taken before, that stand instead of new ones.
        machine: What they were taken on, None for this machine.
        engine: What executes the forms: auto tries every engine that is installed, else one by name.
    """

    calibration: Dataset | None = None
    evaluation: Dataset | None = None
    metric: metrics.Metric = metrics.BUILT_IN["agreement"]
    budget: Budget = field(default_factory=lambda: Budget(1.0, relative=False))
    confidence: float = CONFIDENCE
    target: str = profile.LOCAL
    more_targets: tuple[str, ...] = ()
    output: str | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    threads: int = 1
    tune_threads: bool = False
    effort: Effort = "default"
    method: str = "auto"
    memory: int | None = None
    require_int8: bool = False
    require_verified: bool = False
    also_float32: bool = False
    identity: Identity = field(default_factory=Identity)
    plan: Plan = field(default_factory=lambda: Plan(rounds=31))
    executor: str = INLINE
    cache: Path | None = None
    measurements: tuple[Timed, ...] = ()
    machine: str | None = None
    engine: str = "auto"

    def __post_init__(self) -> None:
        for data in (self.calibration, self.evaluation):
            computed = data.raw.features if data is not None and data.raw is not None else None
            if data is not None and computed != self.identity.features:
                raise ValueError(f"{data.source}: the samples were not made with the features that are to be served")

    @property
    def targets(self) -> tuple[str, ...]:
        """Return all targets as the user wrote them."""
        return (self.target, *self.more_targets)

    @property
    def samples(self) -> Dataset | None:
        """Return the samples to judge on: evaluation, else calibration, else none."""
        return self.evaluation or self.calibration
