"""Entry point of `edgeopt`."""

from __future__ import annotations

from edge_runtime.cli.group import LazyGroup

main = LazyGroup(
    "edgeopt",
    "Make a trained ONNX model small and fast inside an accuracy budget, prove it, and package it for the edge.",
    {
        "quantize": ("optimizer.cli.quantize:quantize", "Find the fastest form of a model inside an accuracy budget."),
        "inspect": ("optimizer.cli.inspect:inspect", "Show what a model or a package is."),
        "benchmark": ("optimizer.cli.benchmark:benchmark", "Time models or packages against each other, interleaved."),
        "compare": ("optimizer.cli.compare:compare", "Show how two models or packages differ, their answers included."),
        "verify": ("optimizer.cli.verify:verify", "Run a package on the machine it is for, and compare its answers."),
        "explain": ("optimizer.cli.explain:explain", "Tell why a package is as it is: forms, layers, warnings."),
        "devices": ("optimizer.cli.devices:devices", "Show the machines that are known, and what this one is."),
        "demo": ("optimizer.cli.demo:demo", "See it all in under a minute: sensor, model, fault, alarm."),
    },
)
