"""A report in words: the choice, the losers, the layers; one layer in full; names that nearly fit."""

from __future__ import annotations

import msgspec
import pytest
from reports import full_report

from edge_runtime.errors import BadInput
from optimizer.report.explain import about_layer, columns, find_layer, printable, summary
from optimizer.report.record import Report


def test_the_summary_says_what_and_why(full: Report) -> None:
    """Choice with reason, figures with label and interval, each loser with its reason, steps, findings, warnings."""
    text = "\n".join(summary(full, "pump.edgepkg"))
    for said in (
        "chosen    cpu-u8s8-mse (int8, ranges by error): fastest form inside the budget",
        "321.2 kB before, 93.9 kB after (0.29 x)",
        "2.22 x as given (2.15 to 2.29), 0.192 ms at batch 1",
        "measured on a processor",
        "top1      0.8725, float32 0.8790, loss 0.0065 (0.0015 to 0.0115), 2000 samples; budget 1pt",
        "not       cpu-u8s8: top1 0.8655 against 0.8790 is outside the budget of 1pt",
        "not       cpu-dynamic-u8s8: does not run: no kernel",
        "not       fp32: the model as given, the reference",
        "repair    ranges by error: loss 0.0135 before, 0.0065 after, kept",
        "finding   L-CHANNELS",
        "warning   pump: measured here",
        "edgeopt explain pump.edgepkg --layer NAME",
    ):
        assert said in text
    for layer in full.layers:
        assert f"\n{layer.name} " in text


def test_the_summary_of_next_to_nothing(empty: Report) -> None:
    """A report without forms and layers still says which model it is of."""
    assert list(summary(empty, "p")) == ["model     pump v1 (pump.onnx) for local"]


def test_one_layer_in_full(full: Report) -> None:
    """Precision with reason, loss, gain, outliers, range, and the warnings that name it."""
    layer = full.layers[0]
    report = msgspec.structs.replace(full, warnings=(f"{layer.name} falls back", "something else"))
    text = "\n".join(about_layer(report, layer.name))
    for said in ("float32: kept in float32: it loses most", "40.0 times", "-3.00 to 5.00", f"{layer.name} falls back"):
        assert said in text
    assert "something else" not in text


def test_what_was_not_measured_is_called_so(full: Report) -> None:
    """No zero and no dash where nobody looked."""
    bare = msgspec.structs.replace(full.layers[0], loss=None, milliseconds=None, outlier_ratio=None, low=None)
    text = "\n".join(about_layer(msgspec.structs.replace(full, layers=(bare,)), bare.name))
    assert text.count("not measured") == 3
    assert "not recorded" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/pump/1/Con", "/pump/1/Conv"),
        ("PUMP/3", "/pump/3/Conv"),
        ("/pmp/5/Conv", "/pump/5/Conv"),
        ("zzz", "use one of:"),
    ],
)
def test_a_wrong_layer_name_brings_the_near_ones(full: Report, name: str, said: str) -> None:
    """Part of a name, other case, a typo; or the list, where nothing is near."""
    with pytest.raises(BadInput) as caught:
        find_layer(full, name)
    assert caught.value.code == "E-LAYER-UNKNOWN"
    assert said in caught.value.fix


def test_without_layers_no_name_is_right(empty: Report) -> None:
    """The way out is then another one."""
    with pytest.raises(BadInput, match="no layer conv1") as caught:
        find_layer(empty, "conv1")
    assert "leave out" in caught.value.fix


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    """The rest is aligned, the last column is not padded."""
    rows = [("layer", "loss", "gain", "why"), ("a", "-", "1", "x"), ("long name", "-", "-", "a reason")]
    assert list(columns(rows)) == ["layer      gain  why", "a          1     x", "long name  -     a reason"]


def test_names_do_not_steer_the_terminal() -> None:
    """Escape sequences, returns and bells inside a name come out as text."""
    report = full_report("a\x1b[2Jb\r\x07")
    assert "\x1b" in "".join(summary(report, "p"))
    text = "".join(printable(line) for line in summary(report, "p"))
    assert text.isprintable()
    assert "a\\x1b[2Jb\\x0d\\x07" in text
    assert printable("Grüße, 95 % → 1") == "Grüße, 95 % → 1"
