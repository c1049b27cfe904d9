"""The daemon's configuration: TOML in, checked options out, or every problem with its line."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from edge_runtime.config_options import BrokerConfig, Config, PipelineConfig, Source, Topics
from edge_runtime.config_problems import ConfigError, Key, Problem, line_of, problems_in
from edge_runtime.decision_checks import decision_problems
from edge_runtime.decision_options import AlarmConfig, ReportConfig
from edge_runtime.delivery_options import delivery_problems
from edge_runtime.errors import BadInput
from edge_runtime.messaging.broker import Broker
from edge_runtime.messaging.topics import (
    PREDICTION_PLACEHOLDERS,
    SERVICE_PLACEHOLDERS,
    SourceTopic,
    fill,
    problem_in_source,
    problem_in_template,
)
from edge_runtime.option_types import seconds
from edge_runtime.window_options import problems_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = 1

_DURATION_LIMITS = {
    ("broker", "keepalive"): ("1s", "18h"),  # MQTT counts it in whole seconds, 16 bits
    ("broker", "reconnect_max"): ("1s", "24h"),
    ("broker", "session_expiry"): ("1s", "8760h"),
    ("health", "interval"): ("100ms", "24h"),
    ("health", "silence"): ("1s", "8760h"),
    ("state", "save_every"): ("1s", "24h"),
}


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        BadInput: E-CONFIG-NOT-FOUND or E-CONFIG-SYNTAX.
        ConfigError: One or more problems, each with its own code (E-CONFIG-…, E-BROKER-URL), line and fix.
    """
    text = _read(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        fix = "write it as TOML; docs/configuration.md shows a whole file"
        raise BadInput("E-CONFIG-SYNTAX", f"{path}: {error}", fix) from error
    problems = [*_schema_problem(document), *problems_in(document, Config)]
    if not problems:
        config = msgspec.convert(document, Config)
        problems = _meaning(config)
    if problems:
        raise ConfigError(path, [(line_of(text, problem.key), problem) for problem in problems])
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    except FileNotFoundError as error:
        fix = "check the path; `edge-runtime sample-config` prints a file to start from"
        raise BadInput("E-CONFIG-NOT-FOUND", f"there is no configuration {path}", fix) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("E-CONFIG-SYNTAX", f"{path} cannot be read: {error}", "store it as UTF-8 text") from error


def _schema_problem(document: dict[str, object]) -> list[Problem]:
    found = document.get("schema", SCHEMA)
    if found == SCHEMA or not isinstance(found, int):
        return []
    message = f"schema {found} is not known; this edge-runtime reads schema {SCHEMA}"
    return [Problem("E-CONFIG-SCHEMA", ("schema",), message, "upgrade edgeopt, or rewrite the file for this schema")]


def _meaning(config: Config) -> list[Problem]:
    """Return problems that single values do not show."""
    problems = [*_broker_meaning(config.broker), *_duration_meaning(config), *_topics_meaning(config.topics)]
    problems += delivery_problems(config.outbox, [pipeline.delivery for pipeline in config.pipeline])
    names = [pipeline.name for pipeline in config.pipeline]
    for index, pipeline in enumerate(config.pipeline):
        problems += _source_meaning(("pipeline", index, "source"), pipeline.source)
        problems += decision_problems(("pipeline", index), pipeline)
        problems += _share_meaning(("pipeline", index, "source", "share"), pipeline)
        problems += problems_of(pipeline.window, pipeline.source.time_field, ("pipeline", index, "window"))
        if pipeline.name in names[:index]:
            message = f"two pipelines are called {pipeline.name!r}"
            problems.append(Problem("E-CONFIG-VALUE", ("pipeline", index, "name"), message, "give each its own name"))
    return problems or _loops(config)


def _broker_meaning(broker: BrokerConfig) -> list[Problem]:
    problems = []
    try:
        Broker.parse(broker.url)
    except BadInput as error:
        problems.append(Problem(error.code, ("broker", "url"), error.message, error.fix))
    if broker.password_file is not None and broker.username is None:
        message, fix = "MQTT knows no password without a user name", 'add username = "…" to [broker]'
        problems.append(Problem("E-CONFIG-VALUE", ("broker", "password_file"), message, fix))
    return problems


def _duration_meaning(config: Config) -> list[Problem]:
    problems = []
    for (table, name), (low, high) in _DURATION_LIMITS.items():
        found = getattr(getattr(config, table), name)
        if not seconds(low) <= seconds(found) <= seconds(high):
            message, fix = f'{table}.{name} = "{found}" is out of range', f'write a duration from "{low}" to "{high}"'
            problems.append(Problem("E-CONFIG-VALUE", (table, name), message, fix))
    return problems


def _topics_meaning(topics: Topics) -> list[Problem]:
    problems = []
    for name in topics.__struct_fields__:
        allowed = PREDICTION_PLACEHOLDERS if name == "prediction" else SERVICE_PLACEHOLDERS
        found = problem_in_template(getattr(topics, name), allowed)
        problems += [Problem("E-CONFIG-PLACEHOLDER", ("topics", name), *found)] if found else []
    services = [name for name in topics.__struct_fields__ if name != "prediction"]
    for index, name in enumerate(services):
        for other in services[:index]:
            if getattr(topics, name) == getattr(topics, other):
                message = f"{other} and {name} have the same topic, so that each would be taken for the other"
                problems.append(Problem("E-CONFIG-VALUE", ("topics", name), message, "give each its own topic"))
    return problems


def _loops(config: Config) -> list[Problem]:
    """Return the pipelines that would read what they publish."""
    problems = []
    for index, pipeline in enumerate(config.pipeline):
        values = {"site": config.node.site, "node": config.node.name, "pipeline": pipeline.name, "stream": "any"}
        if SourceTopic.parse(pipeline.source.topic).matches(fill(config.topics.prediction, values)):
            message = f"pipeline {pipeline.name} would read its own predictions, for ever"
            fix = "write more of the topic without wildcards, or another topics.prediction"
            problems.append(Problem("E-CONFIG-VALUE", ("pipeline", index, "source", "topic"), message, fix))
    return problems


def _share_meaning(key: Key, pipeline: PipelineConfig) -> list[Problem]:
    """Return what keeps a pipeline from sharing: the broker gives a group's readings to its members in turn."""
    window, quality = pipeline.window, pipeline.quality
    remembering = {
        "window": (window.size, window.hop, window.duration) != (1, 1, None),
        "alarm": pipeline.alarm != AlarmConfig(),
        "report": pipeline.report != ReportConfig(),
        "quality.stuck_after": quality.stuck_after is not None,
        "quality.stale_after": quality.stale_after is not None,
    }
    used = [name for name, does in remembering.items() if does]
    if pipeline.source.share is None or not used:
        return []
    message = f"pipeline {pipeline.name}: a shared subscription spreads one asset's readings, and {', '.join(used)}"
    message += " would see a series with holes"
    fix = "leave those at their defaults, or give each daemon a part of the topics in place of share: docs/scaling.md"
    return [Problem("E-CONFIG-VALUE", key, message, fix)]


def _source_meaning(key: Key, source: Source) -> list[Problem]:
    problems = []
    found = problem_in_source(source.topic)
    if found:
        problems.append(Problem("E-CONFIG-PLACEHOLDER", (*key, "topic"), *found))
    binary = source.format in {"float32le", "int16le"}
    if binary and (source.array is not None or source.time_field is not None):
        message, fix = (
            f"{source.format} has no keys, and so neither array nor time_field",
            "remove array and time_field",
        )
        problems.append(Problem("E-CONFIG-VALUE", (*key, "format"), message, fix))
    elif binary and bool(source.fields) == (source.length is not None):
        message, fix = (
            "binary readings need either fields or length",
            "fields = [...] names the numbers, length counts them",
        )
        problems.append(Problem("E-CONFIG-VALUE", key, message, fix))
    if source.idle is not None and not seconds(source.idle):
        fix = 'idle = "24h", or leave it out to forget no stream'
        problems.append(Problem("E-CONFIG-VALUE", (*key, "idle"), "idle is no time at all", fix))
    return problems if binary else problems + _keys_meaning(key, source)


def _keys_meaning(key: Key, source: Source) -> list[Problem]:
    """Return problems of a source whose readings have keys."""
    problems = []
    if bool(source.fields) == (source.array is not None):
        message = 'a reading needs either fields = [...] or array = "..."'
        fix = 'fields = ["temperature", "pressure"] for single numbers, array = "samples" for one JSON array'
        problems.append(Problem("E-CONFIG-VALUE", key, message, fix))
    if (source.length is None) == (source.array is not None):
        message = "array and length belong together"
        fix = 'array = "samples" with length = 1024, the numbers in each array'
        problems.append(Problem("E-CONFIG-VALUE", key, message, fix))
    return problems
