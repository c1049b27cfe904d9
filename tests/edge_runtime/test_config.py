"""Configurations that cannot be used: every problem, each with its line, its code and its fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.config import load_config
from edge_runtime.config_problems import ConfigError
from edge_runtime.errors import BadInput

GOOD = """\
schema = 1
[node]
name = "gateway-1"
[broker]
url = "mqtt://127.0.0.1:1883"
[health]
interval = "10s"
[[pipeline]]
name = "bearing"
package = "bearing.edgepkg"
[pipeline.source]
topic = "plant/{stream}/vib"
fields = ["a"]
[pipeline.window]
size = 1
[pipeline.decision]
kind = "value"
"""


def _problems(tmp_path: Path, text: str) -> list[tuple[str, int | None, str, str]]:
    path = tmp_path / "edge-runtime.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return [(problem.code, line, problem.message, problem.fix) for line, problem in caught.value.found]


def test_the_good_one_loads(tmp_path: Path) -> None:
    """The text the others are made from has no problem."""
    (tmp_path / "c.toml").write_text(GOOD)
    assert load_config(tmp_path / "c.toml").pipeline[0].name == "bearing"


@pytest.mark.parametrize(
    ("written", "instead", "code", "line", "said"),
    [
        ('name = "gateway-1"', 'nmae = "gateway-1"', "E-CONFIG-UNKNOWN-KEY", 3, "did you mean 'name'"),
        ("[health]", "[helth]", "E-CONFIG-UNKNOWN-KEY", 6, "did you mean 'health'"),
        ('fields = ["a"]', 'fields = ["a"]\nshare = "a/b"', "E-CONFIG-VALUE", 14, "without / + #"),
        ("[pipeline.window]\nsize = 1", 'share = "g"\n[pipeline.window]\nsize = 2', "E-CONFIG-VALUE", 14, "holes"),
        ("size = 1", "siz = 1", "E-CONFIG-UNKNOWN-KEY", 15, "did you mean 'size'"),
        ("size = 1", "colour = 1", "E-CONFIG-UNKNOWN-KEY", 15, "known here: size, hop"),
        ("size = 1", 'size = "big"', "E-CONFIG-TYPE", 15, "size"),
        ("size = 1", "size = 0", "E-CONFIG-VALUE", 15, "size"),
        ('interval = "10s"', "interval = 10", "E-CONFIG-TYPE", 7, "interval"),
        ('interval = "10s"', 'interval = "10"', "E-CONFIG-VALUE", 7, "10s"),
        ('interval = "10s"', 'interval = "0s"', "E-CONFIG-VALUE", 7, "out of range"),
        ('package = "bearing.edgepkg"\n', "", "E-CONFIG-MISSING-KEY", 8, "package"),
        ("{stream}", "{asset}", "E-CONFIG-PLACEHOLDER", 12, "{asset}"),
        ("{stream}", "+", "E-CONFIG-PLACEHOLDER", 12, "names the stream"),
        ('fields = ["a"]\n', "", "E-CONFIG-VALUE", 11, "fields"),
        ('fields = ["a"]', 'fields = ["a"]\narray = "v"\nlength = 3', "E-CONFIG-VALUE", 11, "either fields"),
        ('fields = ["a"]', 'array = "v"', "E-CONFIG-VALUE", 11, "length"),
        ('kind = "value"', 'kind = "vote"', "E-CONFIG-VALUE", 17, "vote"),
        ('kind = "value"', 'kind = "threshold"', "E-CONFIG-VALUE", 16, "above"),
        ("[pipeline.window]", '[pipeline.model]\nselection = "best"\n[pipeline.window]', "E-CONFIG-VALUE", 15, "first"),
        ("[pipeline.window]", '[pipeline.model]\nproviders = ["gpu"]\n[pipeline.window]', "E-CONFIG-VALUE", 15, "cuda"),
        ("[pipeline.window]", "[pipeline.model]\nfallback = true\n[pipeline.window]", "E-CONFIG-VALUE", 15, "allowed"),
        (
            "[pipeline.window]",
            '[pipeline.model]\nvarient = "fp32"\n[pipeline.window]',
            "E-CONFIG-UNKNOWN-KEY",
            15,
            "variant",
        ),
        ("size = 1", 'size = 2\nduration = "1s"\nrate = 2', "E-CONFIG-VALUE", 15, "exclude each other"),
        ("size = 1", 'duration = "1s"', "E-CONFIG-VALUE", 14, "rows per second"),
        ("size = 1", 'duration = "1s"\nrate = 2.5', "E-CONFIG-VALUE", 15, "2.5 rows, and they must be whole"),
        ("size = 1", 'duration = "1s"\nrate = 2\nevery = "250ms"', "E-CONFIG-VALUE", 17, "0.5 rows"),
        ("size = 1", 'duration = "1s"\nrate = 2\nlateness = "1s"', "E-CONFIG-VALUE", 17, "never late"),
        ("size = 1", 'duration = "1s"\nrate = 2\ntime = "sensor"', "E-CONFIG-VALUE", 17, "time_field"),
        ("size = 1", 'duration = "1s"\nrate = 2\nmax_gap = "1s"', "E-CONFIG-VALUE", 17, "interpolation"),
        ("size = 1", 'duration = "1s"\nrate = 2\ninterpolation = "linear"', "E-CONFIG-VALUE", 14, "max_gap"),
        ("size = 1", 'duration = "1h"\nrate = 2', "E-CONFIG-VALUE", 14, 'max_step = "1h"'),
        ("size = 1", 'duration = "5min"\nrate = 9999', "E-CONFIG-VALUE", 15, "more than 1000000 rows"),
        ("size = 1", 'duration = "0s"\nrate = 2', "E-CONFIG-VALUE", 15, "0 rows"),
        ("size = 1", "rate = 0", "E-CONFIG-VALUE", 15, "rows per second"),
        ("size = 1", 'every = "1s"', "E-CONFIG-VALUE", 15, "there is no duration"),
        ('fields = ["a"]', 'fields = ["a"]\nidle = "0s"', "E-CONFIG-VALUE", 14, "idle"),
        ("[health]", '[state]\nsave_every = "1ms"\n[health]', "E-CONFIG-VALUE", 7, "out of range"),
        ("schema = 1", "schema = 2", "E-CONFIG-SCHEMA", 1, "schema 2"),
        ("mqtt://127.0.0.1:1883", "127.0.0.1", "E-BROKER-URL", 5, "mqtt://"),
        ("mqtt://127.0.0.1:1883", "mqtts://127.0.0.1:8883", "E-BROKER-URL", 5, "TLS"),
    ],
)
def test_one_problem(tmp_path: Path, written: str, instead: str, code: str, line: int, said: str) -> None:
    """Code, line, and words that lead to the fix."""
    assert written in GOOD
    found = _problems(tmp_path, GOOD.replace(written, instead, 1))
    assert (code, line) in [(one[0], one[1]) for one in found]
    assert any(said in one[2] + one[3] for one in found)


@pytest.mark.parametrize(
    ("decision", "tables", "line", "said"),
    [
        ("value", "[pipeline.quality]\nlimits = { aa = [0, 1] }", 19, "did you mean 'a'"),
        ("value", "[pipeline.quality]\nstuck_after = { pressure = 9 }", 19, "the fields are a"),
        ("value", "[pipeline.quality]\nlimits = [0, 1]", 19, "limits = { a = [0, 1] }"),
        ("value", "[pipeline.quality]\nlimits = { a = [1, 0] }", 19, "lowest plausible number first"),
        ("value", "[pipeline.quality]\nlimits = { a = [nan, 0] }", 19, "lowest plausible number first"),
        ("value", "[pipeline.quality]\nlimits = { a = [1] }", 19, "quality.limits"),
        ("value", "[pipeline.quality]\nstuck_after = 1", 19, "stuck_after"),
        ("value", '[pipeline.quality]\nstale_after = "0s"', 19, "no time at all"),
        ("value", '[pipeline.quality]\nstale_after = "soon"', 19, '"5min"'),
        ("value", "[pipeline.quality]\nmin_confidence = 0.5", 19, "knows no classes"),
        ("value", '[pipeline.quality]\non_bad = "alarm"', 19, "the decision has none"),
        ("value", '[pipeline.quality]\non_bad = "holt"', 19, "did you mean 'hold'"),
        ("value", "[pipeline.alarm]\non_count = 3", 18, "the decision has none"),
        ("argmax", "[pipeline.alarm]\non_count = 3", 18, "alarm_on"),
        ('threshold"\nabove = 0.8 #', "[pipeline.alarm]\nk = 3\nn = 2", 20, "at most n"),
        ('threshold"\nabove = 0.8 #', "[pipeline.alarm]\nclear_below = 0.9", 20, "at most 0.8"),
        ('threshold"\nabove = 0.8 #', "[pipeline.alarm]\nclear_below = nan", 20, "at most 0.8"),
        ('threshold"\nbelow = 0.2 #', "[pipeline.alarm]\nclear_above = 0.1", 20, "at least 0.2"),
        ('threshold"\nbelow = 0.2 #', "[pipeline.alarm]\nclear_below = 0.1", 20, "add above"),
        ('threshold"\nabove = 0.8 #', '[pipeline.alarm]\non_delay = "5"', 20, '"10s"'),
        ("value", "[pipeline.report]\ndead_band = 0.5", 19, 'on = "change"'),
        ("value", '[pipeline.report]\non = "change"\ndead_band = -1', 20, "at least 0"),
        ("value", '[pipeline.report]\nat_least_every = "0s"', 19, "no time at all"),
        ("value", '[pipeline.report]\nat_least_every = "1s"\nat_most_every = "2s"', 19, "cannot both be"),
        ("value", '[pipeline.report]\nat_most = "1s"', 19, "at_most_every"),
    ],
)
def test_options_that_judge(tmp_path: Path, decision: str, tables: str, line: int, said: str) -> None:
    """Alarm, report and quality against themselves, the decision and the source."""
    found = _problems(tmp_path, GOOD.replace('kind = "value"', f'kind = "{decision}"') + tables + "\n")
    assert [one[1] for one in found] == [line]
    assert said in found[0][2] + found[0][3]


def test_limits_by_name_do_not_go_with_arrays(tmp_path: Path) -> None:
    """An array has no names to give limits to."""
    text = GOOD.replace('fields = ["a"]', 'array = "a"\nlength = 3') + "[pipeline.quality]\nlimits = { a = [0, 1] }\n"
    assert "without names" in _problems(tmp_path, text)[0][3]


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    """Nobody fixes one line only to be told of the next."""
    text = GOOD.replace('name = "gateway-1"', 'nmae = "x"').replace("size = 1", "size = -1").replace('"10s"', '"soon"')
    found = _problems(tmp_path, text)
    assert [(code, line) for code, line, _, _ in found] == [
        ("E-CONFIG-MISSING-KEY", 2),
        ("E-CONFIG-UNKNOWN-KEY", 3),
        ("E-CONFIG-VALUE", 7),
        ("E-CONFIG-VALUE", 15),
    ]


def test_the_second_pipeline_has_its_own_lines(tmp_path: Path) -> None:
    """Tables of an array are told apart."""
    second = GOOD[GOOD.index("[[pipeline]]") :].replace('"bearing"', '"other"').replace("size = 1", "size = 0")
    found = _problems(tmp_path, GOOD + second)
    assert [line for _, line, _, _ in found] == [25]


def test_two_pipelines_of_one_name(tmp_path: Path) -> None:
    """Results of both would go to the same topics."""
    found = _problems(tmp_path, GOOD + GOOD[GOOD.index("[[pipeline]]") :])
    assert "two pipelines" in found[0][2]


def test_a_pipeline_that_reads_its_own_predictions(tmp_path: Path) -> None:
    """A feedback loop would fill the broker."""
    found = _problems(tmp_path, GOOD.replace("plant/{stream}/vib", "+/+/+/+/+/{stream}"))
    assert "its own predictions" in found[0][2]


def test_inline_tables_and_dotted_keys_are_found(tmp_path: Path) -> None:
    """Other ways to write TOML get the line of what they stand in."""
    text = GOOD.replace('[node]\nname = "gateway-1"', 'node.name = "g"\nnode.colour = 1')
    text = text.replace("[pipeline.window]\nsize = 1", "window = { size = 0 }").replace("[pipeline.decision]", "")
    assert _problems(tmp_path, text)


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"= broken", "E-CONFIG-SYNTAX"), (b"\xff\xfe", "E-CONFIG-SYNTAX"), (None, "E-CONFIG-NOT-FOUND")],
)
def test_files_that_are_no_configuration(tmp_path: Path, data: bytes | None, code: str) -> None:
    """No TOML, no text, no file."""
    path = tmp_path / "c.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        load_config(path)
    assert caught.value.code == code
