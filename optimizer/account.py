"""How a result came about: everything a report shows besides the candidates themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from optimizer.ladder import RepairStep
from optimizer.lint import Finding
from optimizer.simplify import Step
from optimizer.stopwatch import Timed
from optimizer.workbench import Base


@dataclass(frozen=True)
class Account:
    """How a result came about.

    Attributes:
        findings: What is odd about the data.
        rewrites: What became of every rewrite of the float32 model.
        simplified: The float32 model after them.
        bases: What forms were made from, by label; empty where nothing was quantized.
        repairs: Steps of the repair ladder.
        losses: Layer name -> what its rounding alone costs, where that was asked.
        costs: Layer name -> predicted (microseconds in float32, in int8), where shapes are known.
        timings: Every comparison the result rests on.
        notes: What was not tried for want of something that can be installed, with the command, one sentence each.
        anew: How many of them were taken here although those of a package were to stand instead.
    """

    findings: tuple[Finding, ...] = ()
    rewrites: tuple[Step, ...] = ()
    simplified: bytes = b""
    bases: Mapping[str, Base] = field(default_factory=dict)
    repairs: tuple[RepairStep, ...] = ()
    losses: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    timings: tuple[Timed, ...] = ()
    notes: tuple[str, ...] = ()
    anew: int = 0
