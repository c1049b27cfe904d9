"""The metric at a place against the host's and the recorded one, on the same samples."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.remote import Answers
from edge_runtime.errors import BadInput
from edge_runtime.inference.engine import Array
from edge_runtime.package.manifest import Manifest, Variant
from optimizer import metrics
from optimizer.data import Dataset
from optimizer.evaluate import value_of
from optimizer.metrics.metric import Metric
from optimizer.metrics.outputs import Reader

TOLERANCE = 0.1
_ROUNDING = 1e-9  # of the differences themselves
_AS_GIVEN = "as given"  # how the precision of a float32 form begins


@dataclass(frozen=True)
class Asked:
    """What to compute.

    Attributes:
        metric: Its name, None for the one the package was built with.
        output: Name of the output it looks at, None for the first float one.
        tolerance: How far the values may lie apart, in points of the metric.
    """

    metric: str | None = None
    output: str | None = None
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Scores:
    """One variant's metric.

    Attributes:
        metric: Its name.
        samples: Evaluation samples.
        there: Its value at the place.
        here: On this host.
        recorded: As the package records it; None where it does not, or in another metric.
        same_samples: Whether it was recorded on these very samples.
        allowed: How far `there` may lie from the others.
    """

    metric: str
    samples: int
    there: float
    here: float
    recorded: float | None
    same_samples: bool
    allowed: float

    def off(self) -> str | None:
        """Return which difference is larger than allowed, None where none is."""
        against = {"on the host": self.here}
        if self.recorded is not None and self.same_samples:
            against["as recorded"] = self.recorded
        for words, value in against.items():
            if not abs(self.there - value) <= self.allowed:  # so that NaN is off too
                return (
                    f"{self.metric} is {self.there:.5g} there and {value:.5g} {words}, more than {self.allowed:g} apart"
                )
        return None


def scores(manifest: Manifest, data: Dataset, asked: Asked, there: Answers, here: Answers) -> dict[str, Scores]:
    """Return the scores of every variant that ran at both.

    A metric that compares with float32 takes the package's own float32 variant for it; where there is none it compares
    with the host's outputs of the same variant.

    Raises:
        BadInput: E-METRIC-…: the metric is unknown, or does not fit the data or the outputs.
    """
    names = [variant for variant in manifest.variants if variant.name in there.outputs and variant.name in here.outputs]
    if not names:
        return {}
    metric = metrics.find(asked.metric or _recorded_metric(manifest))
    reader = metric.reads(here.outputs[names[0].name], asked.output)
    found = {}
    for variant in names:
        reference = _reference(variant, names)
        truth = _truth(metric, reader, data, reference, here)
        found[variant.name] = Scores(
            metric=metric.name,
            samples=len(data),
            there=value_of(metric, reader(there.outputs[variant.name]), truth),
            here=value_of(metric, reader(here.outputs[variant.name]), truth),
            recorded=_recorded(variant, metric, reference),
            same_samples=manifest.source.evaluation_sha256 == data.sha256,
            allowed=asked.tolerance * metric.point,
        )
    return found


def _recorded(variant: Variant, metric: Metric, reference: Variant) -> float | None:
    """Return the recorded value where it is of this metric and was compared with the same."""
    same_truth = metric.needs_labels or reference.precision.startswith(_AS_GIVEN)
    known = variant.accuracy is not None and variant.accuracy.metric == metric.name and same_truth
    return variant.accuracy.value if known and variant.accuracy else None


def _recorded_metric(manifest: Manifest) -> str:
    return next((variant.accuracy.metric for variant in manifest.variants if variant.accuracy), "agreement")


def _reference(variant: Variant, variants: list[Variant]) -> Variant:
    return next((each for each in variants if each.precision.startswith(_AS_GIVEN)), variant)


def _truth(metric: Metric, reader: Reader, data: Dataset, reference: Variant, here: Answers) -> Array:
    viewed = reader(here.outputs[reference.name])
    if not metric.needs_labels:
        if isinstance(viewed, dict):
            raise BadInput(
                "E-METRIC-OUTPUT", f"metric {metric.name} looks at one output", "name it: --score-output NAME"
            )
        return viewed
    if data.labels is None:
        raise BadInput(
            "E-METRIC-NEEDS-LABELS",
            f"metric {metric.name} needs labels, and {data.source} has none",
            "store them as y (one per sample), or use --metric agreement, which needs none",
        )
    return metric.checked(viewed, data.labels)
