"""What goes into a package for several targets: the order, what each variant needs, and when float32 follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from models import mlp

from benchmarks.latency import Interval
from devices import profile
from edge_runtime.inference.ort import SessionSettings
from edge_runtime.package.manifest import Evidence, Manifest, Needs
from optimizer.account import Account
from optimizer.cache import Cache
from optimizer.candidates import Candidate
from optimizer.evaluate import Budget
from optimizer.for_target import Job, Outcome
from optimizer.load import load_model
from optimizer.request import Request
from optimizer.seal import seal
from optimizer.target import Target
from optimizer.workbench import Terms


def _form(name: str, width: int, speed: float = 2.0) -> Candidate:
    data = mlp(width).SerializeToString()
    return Candidate(
        name, name, data, SessionSettings(), speedup=Interval(speed, speed, speed), quantity="instructions"
    )


OWN = _form("fp32", 64, 1.0)
SMALL, LARGE = _form("small", 16), _form("large", 32)


def _evidence(place: str) -> Evidence:
    return Evidence(place, "emulated", "a board", "onnxruntime 1", 8, exact=True)


def _outcome(target: str, chosen: Candidate) -> Outcome:
    found = Target(target, profile.load(target))
    return Outcome(found, chosen, [OWN, chosen], f"{target}, counted", Account(), _evidence(target))


def _sealed(folder: Path, outcomes: Sequence[Outcome], request: Request | None = None) -> tuple[Manifest, set[str]]:
    onnx.save_model(mlp(64), folder / "net.onnx")
    terms = Terms({}, None, Budget(1.0, relative=False), 1)
    request = request or Request()
    job = Job(load_model(folder / "net.onnx"), OWN, None, terms, request, Cache(), lambda stage, done, total: None)
    manifest, members = seal(replace(job, terms=replace(terms, sample=job.samples(1))), outcomes)
    return manifest, {*members}


def test_different_forms_need_their_targets_instructions(tmp_path: Path) -> None:
    """The most particular comes first, whatever order was asked for, and float32 follows for all other machines."""
    outcomes = [_outcome("raspberry-pi-4", SMALL), _outcome("raspberry-pi-5", LARGE)]
    manifest, members = _sealed(tmp_path, outcomes)
    assert [variant.name for variant in manifest.variants] == ["large", "small", "fp32"]
    assert [variant.needs for variant in manifest.variants] == [
        Needs(("aarch64",), ("asimddp",)),
        Needs(("aarch64",), ("asimd",)),
        Needs(),
    ]
    assert members == {"variants/large.onnx", "variants/small.onnx", "variants/fp32.onnx", "golden.npz"}
    assert manifest.target == "raspberry-pi-4, raspberry-pi-5"


def test_one_form_for_several_targets_is_one_variant(tmp_path: Path) -> None:
    """It carries the evidence of all of them, needs nothing, and float32 stays out: it would only take room."""
    outcomes = [_outcome("raspberry-pi-4", SMALL), _outcome("x86-64-vnni", SMALL)]
    manifest, _ = _sealed(tmp_path, outcomes)
    (variant,) = manifest.variants
    assert variant.needs == Needs()
    assert [one.place for one in variant.evidence] == ["raspberry-pi-4", "x86-64-vnni"]


def test_a_form_of_two_targets_beside_a_third_fits_both(tmp_path: Path) -> None:
    """What several machines share names the instructions of each, behind what is for one alone."""
    outcomes = [
        _outcome("raspberry-pi-4", SMALL),
        _outcome("x86-64-vnni", SMALL),
        _outcome("raspberry-pi-5", LARGE),
    ]
    manifest, _ = _sealed(tmp_path, outcomes)
    assert [variant.name for variant in manifest.variants] == ["large", "small", "fp32"]
    shared = manifest.variants[1].needs
    assert shared.isa == ("aarch64", "x86_64")
    assert {"asimd", "avx512_vnni", "avx_vnni"} == {*shared.features}


def test_float32_follows_where_it_is_asked_for(tmp_path: Path) -> None:
    """`--also fp32` puts it behind a form that runs anywhere."""
    manifest, _ = _sealed(tmp_path, [_outcome("raspberry-pi-4", SMALL)], Request(also_float32=True))
    assert [variant.name for variant in manifest.variants] == ["small", "fp32"]
    assert manifest.variants[1].evidence == ()


@pytest.mark.parametrize("last", ["raspberry-pi-4", "raspberry-pi-5"])
def test_float32_that_was_chosen_is_in_once(tmp_path: Path, last: str) -> None:
    """The model as given can be the best for a target; it is not put in a second time."""
    first = {"raspberry-pi-4": "raspberry-pi-5", "raspberry-pi-5": "raspberry-pi-4"}[last]
    manifest, _ = _sealed(tmp_path, [_outcome(first, SMALL), _outcome(last, OWN)])
    assert sorted(variant.name for variant in manifest.variants) == ["fp32", "small"]
    particular, other = manifest.variants
    assert particular.needs.features == ("asimddp",)
    assert particular.name == ("fp32" if last == "raspberry-pi-5" else "small")
    assert other.needs == (Needs(("aarch64",), ("asimd",)) if last == "raspberry-pi-5" else Needs())


def test_float32_of_another_architecture_serves_all_the_rest(tmp_path: Path) -> None:
    """Where nothing behind it would take its machine, it goes to the end and needs nothing."""
    outcomes = [_outcome("x86-64-vnni", OWN), _outcome("raspberry-pi-4", SMALL), _outcome("raspberry-pi-5", LARGE)]
    manifest, _ = _sealed(tmp_path, outcomes)
    assert [(variant.name, variant.needs == Needs()) for variant in manifest.variants] == [
        ("large", False),
        ("small", False),
        ("fp32", True),
    ]


def test_forms_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Two targets may call different forms the same; inside one package names are unique."""
    outcomes = [_outcome("raspberry-pi-4", SMALL), _outcome("raspberry-pi-5", replace(LARGE, name="small"))]
    manifest, _ = _sealed(tmp_path, outcomes)
    assert {variant.name for variant in manifest.variants} == {"small", "small-raspberry-pi-5", "fp32"}


def test_a_prediction_has_no_milliseconds(tmp_path: Path) -> None:
    """The manifest holds the ratio with its label and what it is the ratio of."""
    manifest, _ = _sealed(tmp_path, [_outcome("raspberry-pi-4", SMALL)])
    latency = manifest.variants[0].latency
    assert latency is not None
    assert (latency.milliseconds, latency.speedup, latency.label, latency.quantity) == (
        None,
        2.0,
        "predicted",
        "instructions",
    )
    assert "predicted direction: fewer instructions than float32, 2.00 x on a Cortex-A72" in manifest.chosen_because
