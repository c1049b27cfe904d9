"""The report's page: whole in one file, safe whatever names a model brings, and right in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import chromium
import msgspec
import pytest
from reports import full_report

from optimizer.report.html import page
from optimizer.report.record import Data, Operators, Report, Span

EVIL = '<script>window.hit=1</script><img src="http://127.0.0.1:9/x.png" onerror="window.hit=1">"\'&</style></svg>'
PLOTS = "document.querySelectorAll('svg').length"
DRAWN = "[...document.querySelectorAll('svg circle, svg rect')].filter(e => e.getBoundingClientRect().width > 0).length"
BROKEN = "[...document.querySelectorAll('svg *')].filter(e => /NaN|Infinity|undefined/.test(e.outerHTML)).length"
TOO_WIDE = "document.documentElement.scrollWidth > window.innerWidth"
SECTIONS = "[...document.querySelectorAll('main section')].length"
CUT = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


class Elements(HTMLParser):
    """Every element of a page with its attributes, and whether all are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that stays open."""
        self.found.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Hold the end against the element that is open."""
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    """Return a running browser, or skip saying that none is installed."""
    program = chromium.find()
    if program is None:
        pytest.skip("needs chromium on PATH (apt-get install chromium), which is absent here")
    with chromium.running(program) as running:
        yield running


def test_the_browser_notices_what_is_wrong(browser: chromium.Browser, tmp_path: Path) -> None:
    """A page that fails, complains and fetches is caught doing all three: the tests below can fail."""
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.log('hello'); missing()</script>")
    opened = browser.open(bad)
    assert opened.requests == ["http://127.0.0.1:9/x.png"]
    assert any("console: ['hello']" in text for text in opened.complaints)
    assert any(text.startswith("script:") for text in opened.complaints)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1080, 390])
def test_the_page_opens_from_a_file(
    browser: chromium.Browser, full: Report, tmp_path: Path, scheme: str, width: int
) -> None:
    """No request, no complaint; all plots are drawn, nothing is wider than the screen, light and dark differ."""
    file = tmp_path / "report.html"
    file.write_text(page(full), encoding="utf-8")
    opened = browser.open(file, PLOTS, DRAWN, BROKEN, TOO_WIDE, BACKGROUND, width=width, scheme=scheme)
    assert (opened.requests, opened.complaints) == ([], [])
    plots, drawn, broken, too_wide, background = opened.values
    assert plots == 2 + 8  # accuracy against latency, layers, and the eight ranges shown
    assert drawn > 4 + 2 * 12 + 8 * 20
    assert (broken, too_wide) == (0, False)
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]


def test_nothing_is_cut_off_on_paper(browser: chromium.Browser, tmp_path: Path) -> None:
    """On a sheet of A4, 190 mm inside its margins, every table fits with long names in it; dark turns light."""
    file = tmp_path / "report.html"
    file.write_text(page(full_report("block/with_a_long_name", layers=30)), encoding="utf-8")
    opened = browser.open(file, CUT, BACKGROUND, width=718, scheme="dark", media="print")
    assert opened.values == [0, "rgb(255, 255, 255)"]


def test_names_cannot_run_in_the_browser(browser: chromium.Browser, tmp_path: Path) -> None:
    """A model, layer or file named like a script is shown as text: nothing runs, nothing is fetched."""
    file = tmp_path / "report.html"
    file.write_text(page(full_report(EVIL)), encoding="utf-8")
    opened = browser.open(file, "window.hit === undefined", "document.querySelector('h1').textContent", PLOTS)
    assert (opened.requests, opened.complaints) == ([], [])
    assert opened.values == [True, f"{EVIL} v3", 10]


def test_a_report_with_nothing_optional_opens(browser: chromium.Browser, empty: Report, tmp_path: Path) -> None:
    """What is absent is left out or said."""
    file = tmp_path / "report.html"
    file.write_text(page(empty), encoding="utf-8")
    opened = browser.open(file, PLOTS, SECTIONS, TOO_WIDE)
    assert (opened.requests, opened.complaints) == ([], [])
    assert opened.values == [0, 3, False]


def test_names_stay_text() -> None:
    """Without a browser as well: the evil name adds not one element, attribute or style, wherever it stands."""
    plain, evil = Elements(page(full_report("pump"))), Elements(page(full_report(EVIL)))
    assert evil.open == plain.open == []
    assert [(tag, sorted(attributes)) for tag, attributes in evil.found] == [
        (tag, sorted(attributes)) for tag, attributes in plain.found
    ]
    assert {tag for tag, _ in evil.found}.isdisjoint({"script", "img", "link", "iframe"})


def test_every_text_of_a_report_is_escaped() -> None:
    """Each text field in turn is set to a script, down to the last one; none comes out as markup."""
    full = full_report(layers=2)
    plain = msgspec.json.encode(full)
    paths = [path for path in text_fields(msgspec.json.decode(plain)) if not is_one_of_few_words(path)]
    assert len(paths) > 50
    for path in paths:
        changed = msgspec.json.decode(plain)
        spot = changed
        for key in path[:-1]:
            spot = spot[key]
        spot[path[-1]] = EVIL
        assert "<script" not in page(msgspec.convert(changed, Report)), path


def is_one_of_few_words(path: tuple[int | str, ...]) -> bool:
    """Tell whether a field's type allows a few words only, so that nothing else can stand there."""
    return path[-1] in {"label", "quantity"} or (path[0] == "layers" and path[-1] == "precision")


def text_fields(value: object, path: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """Yield the path of every text inside plain values."""
    if isinstance(value, str):
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if _is_list(value) else ():
        yield from text_fields(item, (*path, key))


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def test_equal_reports_give_equal_pages(full: Report) -> None:
    """Nothing of the clock or the machine that makes the page is in it."""
    assert page(full) == page(full_report())


def test_a_hundred_layers_fit() -> None:
    """Below 300 kB, to be sent by mail; all layers in the table, the costliest in the plot."""
    text = page(full_report(layers=100))
    assert len(text.encode()) < 300_000
    for index in range(100):
        assert f"/pump/{index}/Conv" in text
    assert "The 24 that lose most, of 100 measured" in text


def test_the_page_refers_to_nothing_outside(full: Report) -> None:
    """No address, import or font: what is not in the file is not needed."""
    text = page(full)
    assert re.findall(r"https?:|url\(|@import|@font-face|src=|href=", text) == []
    assert "default-src &#x27;none&#x27;" in text


def test_the_page_says_what_matters(full: Report) -> None:
    """The choice with its reason, the label of every time, why others lost, warnings, the four labels."""
    text = page(full)
    for said in (
        "Chosen: cpu-u8s8-mse",
        "fastest form inside the budget",
        "measured, 95 % interval",
        "outside the budget of 1pt",
        "does not run: no kernel",
        "measured here, not on raspberry-pi-5",
        "budget: 1pt",
        *("measured", "emulated", "predicted", "published"),
        "Repair steps",
        "kept in float32: it loses most",
    ):
        assert said in text


def test_numbers_that_are_unknown_break_nothing(full: Report) -> None:
    """Forms, layers and ranges whose numbers are missing or beyond drawing leave no trace of NaN in the page."""
    forms = tuple(msgspec.structs.replace(form, milliseconds=Span(None, None, None)) for form in full.forms)
    wild = [
        msgspec.structs.replace(full, forms=forms),
        msgspec.structs.replace(full, options=None),
        msgspec.structs.replace(full, ranges=(msgspec.structs.replace(full.ranges[0], low=None),)),
        msgspec.structs.replace(full, ranges=(msgspec.structs.replace(full.ranges[0], chosen_high=1e308, low=-1e308),)),
        msgspec.structs.replace(full, ranges=(msgspec.structs.replace(full.ranges[0], counts=()),)),
        msgspec.structs.replace(full, layers=(msgspec.structs.replace(full.layers[0], loss=0.0, milliseconds=None),)),
        msgspec.structs.replace(
            full, layers=(msgspec.structs.replace(full.layers[0], loss=1e308, milliseconds=-1e308),)
        ),
        msgspec.structs.replace(full, operators=Operators(), data=(Data("", "", 0, ""),), tools={}),
        msgspec.structs.replace(full, forms=(msgspec.structs.replace(full.forms[0], accuracy=None),)),
        msgspec.structs.replace(
            full, forms=(msgspec.structs.replace(full.forms[0], milliseconds=Span(1e308, 0.0, 1e308)),)
        ),
    ]
    for report in wild:
        assert not re.search(r"\b(nan|inf|NaN|Infinity)\b", page(report).partition("</style>")[2])
