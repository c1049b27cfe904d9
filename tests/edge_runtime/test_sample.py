"""The sample configuration: whole, valid, and the same wherever it is shown."""

from __future__ import annotations

import typing
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from edge_runtime import config_options, decision_options, window_options
from edge_runtime.cli.sample_config import sample_config
from edge_runtime.config import load_config
from edge_runtime.inference.postprocess import Decision
from edge_runtime.stream.rules import TimeRule

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "edge_runtime" / "sample.toml"
TABLES = [
    value
    for module in (config_options, decision_options, window_options)
    for value in vars(module).values()
    if isinstance(value, type) and value.__module__ == module.__name__
]


def test_the_sample_loads_with_the_defaults_it_names(tmp_path: Path) -> None:
    """Every option that is not commented out and not required has its default value."""
    (tmp_path / "edge-runtime.toml").write_bytes(SAMPLE.read_bytes())
    config = load_config(tmp_path / "edge-runtime.toml")
    for table in (
        config.topics,
        config.health,
        config.state,
        config.pipeline[0].window,
        config.pipeline[0].queue,
        config.pipeline[0].model,
        config.pipeline[0].alarm,
        config.pipeline[0].report,
        config.pipeline[0].quality,
    ):
        assert table == type(table)()
    bare = config_options.BrokerConfig(url=config.broker.url)
    assert config.broker == bare


@pytest.mark.parametrize("table", [*TABLES, *typing.get_args(Decision)], ids=lambda table: table.__name__)
def test_the_sample_shows_every_option(table: type[msgspec.Struct]) -> None:
    """A new option cannot be forgotten here, and so not in the documentation."""
    text = SAMPLE.read_text(encoding="utf-8")
    fields = [field.encode_name for field in msgspec.structs.fields(table)]
    missing = [
        name for name in fields if f"{name} =" not in text and f"[{name}]" not in text and f".{name}]" not in text
    ]
    assert missing == []


def test_the_documentation_quotes_the_sample_whole() -> None:
    """docs/configuration.md shows the very file that is shipped and printed."""
    assert f"```toml\n{SAMPLE.read_text(encoding='utf-8')}```" in (ROOT / "docs" / "configuration.md").read_text(
        encoding="utf-8"
    )


def test_the_command_prints_the_sample() -> None:
    """What is printed can be redirected into a file and used."""
    assert CliRunner().invoke(sample_config).output == SAMPLE.read_text(encoding="utf-8")


OTHER_FORM = (
    *("fields = [", "time_field = ", 'kind = "value"', "index = 0", "unit = "),
    *("username = ", "password_file = ", "output = ", "policy = ", "idle = "),
    *(
        'on = "change"',
        "dead_band = ",
        "dead_band_percent = ",
        "at_least_every = ",
        "at_most_every = ",
        "stale_after = ",
    ),
)


def test_commented_options_are_valid_too(tmp_path: Path) -> None:
    """Switching from one form to the other by moving the # signs gives a valid file."""
    text = SAMPLE.read_text(encoding="utf-8")
    for line in ('array = "samples"', "length = 1024", 'kind = "argmax"', "labels = [", "alarm_on = [", 'on = "every"'):
        text = text.replace(f"\n{line}", f"\n# {line}")
    for line in OTHER_FORM:
        text = text.replace(f"\n# {line}", f"\n{line}")
    (tmp_path / "edge-runtime.toml").write_text(text)
    config = load_config(tmp_path / "edge-runtime.toml")
    assert config.pipeline[0].source.fields == ("temperature", "pressure")
    assert config.pipeline[0].queue.policy == "block"
    assert config.pipeline[0].report.dead_band == 0.05


def test_commented_options_of_time_windows_are_valid(tmp_path: Path) -> None:
    """The same for windows by time, which exclude those by number."""
    text = SAMPLE.read_text(encoding="utf-8").replace('interpolation = "none" ', 'interpolation = "linear" ')
    for line in ("duration = ", "every = ", "rate = ", "max_gap = "):
        text = text.replace(f"\n# {line}", f"\n{line}")
    (tmp_path / "edge-runtime.toml").write_text(text)
    rule = window_options.rule_of(load_config(tmp_path / "edge-runtime.toml").pipeline[0].window, 3)
    assert isinstance(rule, TimeRule)
    assert (rule.size, rule.hop, rule.features) == (100, 50, 3)
