"""report.json: what is written is read back, the same every time, and what is no report is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from reports import full_report

from edge_runtime.errors import BadInput
from optimizer.report.record import SCHEMA, Report, Span, decode, encode


def changed(report: Report, **fields: object) -> bytes:
    """Return the encoded report with some of its top-level fields replaced."""
    return json.dumps({**json.loads(encode(report)), **fields}).encode()


@pytest.mark.parametrize("which", ["full", "empty"])
def test_a_report_comes_back(which: str, request: pytest.FixtureRequest) -> None:
    """Every part survives; floats to 7 digits, so that a second round changes nothing at all."""
    report: Report = request.getfixturevalue(which)
    once = decode(encode(report))
    assert decode(encode(once)) == once
    assert encode(once) == encode(report)
    assert msgspec.structs.replace(once, layers=(), ranges=(), forms=()) == msgspec.structs.replace(
        report, layers=(), ranges=(), forms=()
    )
    assert [layer.loss for layer in once.layers] == pytest.approx([layer.loss for layer in report.layers], rel=1e-6)
    assert [found.counts for found in once.ranges] == [found.counts for found in report.ranges]


def test_equal_reports_give_equal_bytes(full: Report) -> None:
    """Keys are sorted, whatever order a dict was filled in; noise below float32 leaves no trace."""
    other = msgspec.structs.replace(full, tools=dict(reversed(full.tools.items())))
    assert list(other.tools) != list(full.tools)
    assert encode(other) == encode(full)
    noisy = msgspec.structs.replace(full.forms[0], milliseconds=Span(0.427 + 1e-12, 0.41419, 0.43981))
    assert encode(msgspec.structs.replace(full, forms=(noisy, *full.forms[1:]))) == encode(full)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_become_unknown(full: Report, odd: float) -> None:
    """A NaN in a measurement neither breaks the package nor the reader: it is null, and None again."""
    layer = msgspec.structs.replace(full.layers[0], loss=odd, low=odd)
    form = msgspec.structs.replace(full.forms[0], milliseconds=Span(odd, odd, odd))
    found = msgspec.structs.replace(full.ranges[0], chosen_high=odd)
    back = decode(encode(msgspec.structs.replace(full, layers=(layer,), forms=(form,), ranges=(found,))))
    assert (back.layers[0].loss, back.layers[0].low, back.ranges[0].chosen_high) == (None, None, None)
    assert back.forms[0].milliseconds == Span(None, None, None)


def test_fields_of_a_later_version_are_ignored(full: Report) -> None:
    """An older edgeopt shows what it knows of a newer report."""
    plain: Any = json.loads(encode(full))
    plain["new"] = {"deep": [1]}
    plain["layers"][0]["energy"] = 1.5
    assert decode(json.dumps(plain).encode()) == decode(encode(full))


def test_another_schema_is_refused_with_the_way_out(full: Report) -> None:
    """A field may have changed its meaning: better no report than a wrong one."""
    with pytest.raises(BadInput, match=f"schema {SCHEMA + 1}") as caught:
        decode(changed(full, schema=SCHEMA + 1, model="now a text"))
    assert caught.value.code == "E-REPORT-VERSION"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff\xfe", b"{", b"[]", b"null", b'{"schema":"1"}', b'{"schema":1}', b'{"schema":1e400}'),
        b'{"schema":1,"x":' + b"[" * 100_000,
    ],
    ids=str,
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    """Text, other JSON, half a report, nesting without end: one code, never a traceback."""
    with pytest.raises(BadInput) as caught:
        decode(data, "x.edgepkg")
    assert caught.value.code == "E-REPORT-DAMAGED"
    assert "x.edgepkg" in caught.value.message


@pytest.mark.parametrize(
    "fields",
    [{"layers": [{"name": 1}]}, {"forms": {}}, {"label": "guessed"}, {"ranges": [{"counts": ["a"]}]}],
    ids=str,
)
def test_wrong_types_are_refused(full: Report, fields: dict[str, object]) -> None:
    """Each field has its type; a label is one of the four."""
    with pytest.raises(BadInput) as caught:
        decode(changed(full, **fields))
    assert caught.value.code == "E-REPORT-DAMAGED"


def test_every_cut_is_refused(full: Report) -> None:
    """A report that ends early is none, wherever it ends."""
    data = encode(full)
    for length in range(0, len(data) - 2, 97):
        with pytest.raises(BadInput):
            decode(data[:length])


def test_a_report_of_a_hundred_layers_is_small() -> None:
    """It travels to the device: some kilobytes beside a model of megabytes."""
    assert len(encode(full_report(layers=100))) < 60_000
