"""Forms are made from recipes, judged, and made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
from benches import base_of, bench_of, folder_of, full_order
from models import images, residual_convnet

from optimizer.cache import Cache
from optimizer.evaluate import Budget
from optimizer.metrics import BUILT_IN
from optimizer.recipe import Recipe
from optimizer.schemes import Int8Static, Int8Weights
from optimizer.workbench import Base, Order, form

DATA = residual_convnet().SerializeToString()
X = images(20)
AGREEMENT = BUILT_IN["agreement"]
ALL = Budget(100.0, relative=False)


def test_a_form_is_judged_against_the_budget() -> None:
    """A budget that allows everything lets it through, one that allows nothing does not and says why."""
    allowed = bench_of(DATA, X, AGREEMENT, ALL)
    (form_in,) = allowed.judged([full_order(allowed)])
    assert form_in.rejected is None
    assert form_in.accuracy is not None
    assert form_in.noise is not None
    assert 0 < form_in.noise < 0.1
    strict = bench_of(DATA, X, BUILT_IN["mae"], Budget(0.0, relative=False))
    (out,) = strict.judged([full_order(strict)])
    assert "outside the budget of 0pt" in str(out.rejected)


def test_a_form_that_cannot_be_built_is_a_rejected_candidate() -> None:
    """Static quantization without ranges fails; the work goes on without it and says why."""
    bench = bench_of(DATA, X, AGREEMENT, ALL, base=Base("", DATA))
    (broken,) = bench.built([full_order(bench)])
    assert broken.rejected is not None
    assert broken.data == b""


def test_a_form_that_changes_nothing_is_none() -> None:
    """A model without weights large enough comes back as it was, and is not a form of its own."""
    data = residual_convnet().SerializeToString()
    kept = tuple(node.name for node in onnx.load_model_from_string(data).graph.node)
    bench = bench_of(data, X, AGREEMENT, ALL)
    scheme = Int8Weights()
    (same,) = bench.judged([Order(scheme.name, scheme.precision, Recipe(scheme, keep_float=kept))])
    assert same.rejected == "nothing in the model takes this form"


def test_what_was_made_is_found_again(tmp_path: Path) -> None:
    """Another process with the same base, recipe and judge gets form and judgement from the cache."""
    bench = bench_of(DATA, X, AGREEMENT, ALL, folder_of(tmp_path))
    (first,) = bench.judged([full_order(bench)])
    cache = folder_of(tmp_path)
    again = bench_of(DATA, X, AGREEMENT, ALL, cache)
    assert again.judged([full_order(again)]) == [first]
    assert (cache.hits, cache.misses) == (1, 0)


def test_another_budget_metric_or_recipe_is_made_anew(tmp_path: Path) -> None:
    """Nothing is taken from the cache that was made under other terms."""
    bench = bench_of(DATA, X, AGREEMENT, ALL, folder_of(tmp_path))
    order = full_order(bench)
    bench.judged([order])
    cache = folder_of(tmp_path)
    bench_of(DATA, X, AGREEMENT, Budget(1.0, relative=False), cache).judged([order])
    bench_of(DATA, X, BUILT_IN["mae"], ALL, cache).judged([order])
    bench_of(DATA, images(19), AGREEMENT, ALL, cache).judged([order])
    bench_of(DATA, X, AGREEMENT, ALL, cache).judged([replace(order, recipe=replace(order.recipe, method="mse"))])
    assert (cache.hits, cache.misses) == (0, 4)


def test_the_same_recipe_gives_the_same_bytes() -> None:
    """A form can be made again, byte for byte."""
    recipe = Recipe(Int8Static(), keep_float=("conv1", "relu1"))
    assert form(base_of(DATA, X), recipe) == form(base_of(DATA, X), recipe)


def test_order_and_labels_reach_the_candidate() -> None:
    """A form carries the name it was ordered by, how it was made and which base it came from."""
    bench = bench_of(DATA, X, AGREEMENT, ALL, Cache(), base_of(DATA, X, "rewritten"))
    (made,) = bench.built([full_order(bench)])
    assert (made.name, made.base) == ("cpu-u8s8-rewritten", "rewritten")
    assert made.recipe == full_order(bench).recipe
