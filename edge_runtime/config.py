"""The daemon's configuration: TOML in, frozen structs out; sample.toml explains every option."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from edge_runtime.config_problems import ConfigError, Problem, line_of, problems_in
from edge_runtime.errors import BadInput
from edge_runtime.inference.postprocess import Decision
from edge_runtime.messaging.topics import (
    PREDICTION_PLACEHOLDERS,
    SERVICE_PLACEHOLDERS,
    problem_in_source,
    problem_in_template,
)
from edge_runtime.sources.reading_queue import Policy
from edge_runtime.stream.pipeline import Layout
from edge_runtime.stream.window import Padding

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = 1

Duration: TypeAlias = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?(ms|s|min|h)$")]
Size: TypeAlias = Annotated[str, Meta(pattern=r"^\d+(B|KiB|MiB)$")]
Name: TypeAlias = Annotated[str, Meta(pattern=r"^[^/+#\x00-\x1f]+$")]
Count: TypeAlias = Annotated[int, Meta(ge=1)]

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}


class Node(Struct, frozen=True):
    """Who this device is in topics and messages."""

    name: Name
    site: Name = "default"


class BrokerConfig(Struct, frozen=True):
    """The broker; see `messaging.connection.Broker`."""

    url: str
    client_id: str = ""
    username: str | None = None
    password_file: str | None = None
    keepalive: Duration = "30s"
    reconnect_max: Duration = "60s"
    startup: Literal["error", "retry"] = "error"


class Topics(Struct, frozen=True):
    """Where the daemon publishes; placeholders are filled from node and pipeline."""

    status: str = "edgeopt/{site}/{node}/status"
    health: str = "edgeopt/{site}/{node}/health"
    prediction: str = "edgeopt/{site}/{node}/pred/{pipeline}/{stream}"


class Health(Struct, frozen=True):
    """How often health is published."""

    interval: Duration = "10s"


class State(Struct, frozen=True):
    """Where the daemon keeps what must outlive a restart."""

    folder: str = "state"


class Source(Struct, frozen=True):
    """Where readings come from and what they look like."""

    topic: str
    fields: tuple[str, ...] = ()
    array: str | None = None
    length: Count | None = None
    time_field: str | None = None
    qos: Literal[0, 1] = 1
    max_payload: Size = "1MiB"
    max_streams: Count = 1000


class WindowConfig(Struct, frozen=True):
    """How readings become the model's input; see `stream.window.WindowRule`."""

    size: Count = 1
    hop: Count = 1
    padding: Padding = "none"
    layout: Layout = "time_first"


class Queue(Struct, frozen=True):
    """Readings between network and inference; without a policy QoS 1 readings block and QoS 0 drop the oldest."""

    size: Count = 1000
    policy: Policy | None = None


class PipelineConfig(Struct, frozen=True):
    """One model on one kind of stream."""

    name: Name
    package: str
    source: Source
    window: WindowConfig = WindowConfig()
    decision: Decision | None = None
    output: str | None = None
    queue: Queue = Queue()


class Config(Struct, frozen=True):
    """A whole configuration file."""

    schema: int
    node: Node
    broker: BrokerConfig
    pipeline: Annotated[tuple[PipelineConfig, ...], Meta(min_length=1)]
    topics: Topics = Topics()
    health: Health = Health()
    state: State = State()


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        BadInput: E-CONFIG-NOT-FOUND or E-CONFIG-SYNTAX.
        ConfigError: One or more problems, each with its own E-CONFIG code, line and fix.
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


def seconds(duration: str) -> float:
    """Return the seconds of a checked duration such as ``10s`` or ``500ms``."""
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", duration).groups()  # type: ignore[union-attr]
    return float(number) * _SECONDS[unit]


def size_in_bytes(size: str) -> int:
    """Return the bytes of a checked size such as ``1MiB``."""
    number, unit = re.fullmatch(r"(\d+)(\D+)", size).groups()  # type: ignore[union-attr]
    return int(number) * _BYTES[unit]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        fix = "check the path; docs/configuration.md has a file to start from"
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
    problems = []
    for name in ("status", "health", "prediction"):
        allowed = PREDICTION_PLACEHOLDERS if name == "prediction" else SERVICE_PLACEHOLDERS
        found = problem_in_template(getattr(config.topics, name), allowed)
        problems += [Problem("E-CONFIG-PLACEHOLDER", ("topics", name), *found)] if found else []
    names = [pipeline.name for pipeline in config.pipeline]
    for index, pipeline in enumerate(config.pipeline):
        problems += _pipeline_meaning(("pipeline", index), pipeline)
        if pipeline.name in names[:index]:
            message = f"two pipelines are called {pipeline.name!r}"
            problems.append(Problem("E-CONFIG-VALUE", ("pipeline", index, "name"), message, "give each its own name"))
    return problems


def _pipeline_meaning(key: tuple[str | int, ...], pipeline: PipelineConfig) -> list[Problem]:
    source, problems = pipeline.source, []
    found = problem_in_source(source.topic)
    if found:
        problems.append(Problem("E-CONFIG-PLACEHOLDER", (*key, "source", "topic"), *found))
    if bool(source.fields) == (source.array is not None):
        message = 'a reading needs either fields = [...] or array = "..."'
        fix = 'fields = ["temperature", "pressure"] for single numbers, array = "samples" for one JSON array'
        problems.append(Problem("E-CONFIG-VALUE", (*key, "source"), message, fix))
    if (source.length is None) == (source.array is not None):
        message = "array and length belong together"
        fix = 'array = "samples" with length = 1024, the numbers in each array'
        problems.append(Problem("E-CONFIG-VALUE", (*key, "source"), message, fix))
    return problems
