"""Every kind of model in every form: it runs and computes nearly the same, comes back as it was, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from forms import Feeds, decibels, ranges_of, simplified
from models import tree
from zoo import ZOO, feeds_for

from benchmarks.inputs import synthetic_feeds
from edge_runtime.errors import BadInput, EdgeoptError
from edge_runtime.inference.ort import OrtEngine, SessionSettings
from optimizer.quantize import QUANTIZERS, quantize
from optimizer.recipe import Recipe
from optimizer.simplify import simplify

FEWEST_DECIBELS = {"Int4Weights": 12.0, "Float16": 35.0}


def _forms(data: bytes, feeds: Feeds) -> dict[str, float | str]:
    """Return scheme -> decibels to float32, or what became of it in words."""
    ranges = ranges_of(data, feeds)
    found: dict[str, float | str] = {}
    for kind in QUANTIZERS:
        scheme = kind()
        try:
            form = quantize(data, Recipe(scheme), ranges)
        except BadInput as error:
            found[kind.__name__] = error.code
            continue
        settings = SessionSettings(config=scheme.session)
        found[kind.__name__] = "unchanged" if form == data else decibels(data, form, feeds, settings)
    return found


@pytest.mark.parametrize("name", ZOO)
def test_stand_ins_take_every_form(name: str) -> None:
    """Residuals, depthwise, SiLU, transformer, LSTM, `If`, paddings from shapes: each is close to float32."""
    model = ZOO[name]()
    feeds = feeds_for(model, 4)
    for scheme, found in _forms(simplified(model, feeds), feeds).items():
        if isinstance(found, str):
            assert found in {"unchanged", "E-QUANTIZE"}, scheme
        else:
            assert found > FEWEST_DECIBELS.get(scheme, 20.0), scheme


def test_trees_come_back_as_they_are_in_every_integer_form() -> None:
    """There is nothing to round in them."""
    data = tree().SerializeToString()
    found = _forms(data, {"x": feeds_for(tree(), 4)["x"]})
    assert {scheme for scheme, became in found.items() if became != "unchanged"} <= {"Float16"}


@pytest.mark.parametrize(
    "name",
    ["ch_ppocr_mobile_v2.0_cls_infer", "magika_standard_v3_3", "mnist-8", "silero_vad", "ultraface_rfb_320"],
)
def test_odd_graphs_never_break(name: str, assets: Path) -> None:
    """Real exports with control flow, other dtypes, eight operator sets: forms load and run, or say why not."""
    data = (assets / "odd_graphs" / f"{name}.onnx").read_bytes()
    feeds = synthetic_feeds(OrtEngine(data), {})
    data = simplify(data, feeds).data
    ranges = ranges_of(data, feeds)
    codes = {}
    for kind in QUANTIZERS:
        scheme = kind()
        try:
            form = quantize(data, Recipe(scheme), ranges)
            OrtEngine(form, SessionSettings(config=scheme.session)).run(feeds)
        except EdgeoptError as error:
            codes[kind.__name__] = error.code
    assert set(codes.values()) <= {"E-QUANTIZE", "E-MODEL-LOAD", "E-INFERENCE"}
    assert codes.keys() <= {"Float16", "Int8StaticSymmetric"}, "int8 forms for CPUs that are built also load"
