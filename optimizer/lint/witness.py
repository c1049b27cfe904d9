"""A model that is asked which of two forms of the same samples it was trained for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edge_runtime.inference.batch import run_all
from edge_runtime.inference.engine import Array
from edge_runtime.inference.ort import OrtEngine
from optimizer.lint import answers, expectation
from optimizer.lint.answers import Answers
from optimizer.lint.excerpt import Excerpt


@dataclass(frozen=True)
class Witness:
    """One model; what it says of an input.

    Attributes:
        data: The model as given: rewrites fold away the statistics that are read here.
    """

    data: bytes

    @cached_property
    def engine(self) -> OrtEngine:
        """The whole model."""
        return OrtEngine(self.data)

    @cached_property
    def graph(self) -> expectation.Graph:
        """The model's nodes and constants."""
        return expectation.Graph(self.data)

    def outputs(self, excerpt: Excerpt) -> dict[str, Array]:
        """Return the outputs on some samples."""
        return run_all(self.engine, excerpt.feeds)

    def answers(self, excerpt: Excerpt) -> Answers | None:
        """Return what the first floating-point output says as a classifier, None where it is none."""
        floats = [value for value in self.outputs(excerpt).values() if np.issubdtype(value.dtype, np.floating)]
        fits = bool(floats) and len(floats[0]) == len(excerpt)
        return answers.read(floats[0], excerpt.labels) if fits else None

    def misfits(self, name: str, *forms: Excerpt) -> list[float] | None:
        """Return how far each form is from the statistics of the batch normalisation behind an input; None without."""
        expected = list(expectation.batch_normalisations(self.graph, name))
        if not expected:
            return None
        engine = expectation.engine_for(self.graph, [item.tensor for item in expected])
        return [expectation.misfit(engine, expected, form) for form in forms]

    def normalised(self, name: str, form: Excerpt) -> tuple[float, float] | None:
        """Return mean and standard deviation of the samples as the model normalises them; None if it does not."""
        tensor = expectation.normalised(self.graph, name)
        if tensor is None:
            return None
        values = run_all(expectation.engine_for(self.graph, [tensor]), form.feeds)[tensor].astype(np.float64)
        return float(values.mean()), float(np.sqrt(values.var(axis=0).mean()))
