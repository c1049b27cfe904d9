"""Topics: which stream a message belongs to, and where results go."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

STREAM = "{stream}"
SERVICE_PLACEHOLDERS = ("site", "node")
PREDICTION_PLACEHOLDERS = ("site", "node", "pipeline", "stream")

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class SourceTopic:
    """A topic filter with one level that names the stream, such as ``plant/{stream}/vibration``.

    Attributes:
        filter: What topics match, ``plant/+/vibration``.
        level: Position of the stream's level, from 0.
        share: Group of clients that get each message once between them; "" where every client gets it.
    """

    filter: str
    level: int
    share: str = ""

    @classmethod
    def parse(cls, template: str, share: str | None = None) -> SourceTopic:
        """Read a template that `problem_in_source` finds no fault with."""
        levels = template.split("/")
        plain = "/".join("+" if level == STREAM else level for level in levels)
        return cls(plain, levels.index(STREAM), share or "")

    @property
    def subscription(self) -> str:
        """Return what the broker is asked for: the filter, within its group (MQTT 5 section 4.8.2)."""
        return f"$share/{self.share}/{self.filter}" if self.share else self.filter

    def stream_of(self, topic: str) -> str:
        """Return the stream's name from a topic that matches the filter."""
        return topic.split("/")[self.level]

    def matches(self, topic: str) -> bool:
        """Tell whether a topic matches the filter (MQTT 3.1.1 section 4.7)."""
        wanted, levels = self.filter.split("/"), topic.split("/")
        if topic.startswith("$") and wanted[0] in {"+", "#"}:
            return False  # a broker's own topics, such as $SYS, are asked for by name
        for index, level in enumerate(wanted):
            if level == "#":
                return True
            if index >= len(levels) or level not in {"+", levels[index]}:
                return False
        return len(wanted) == len(levels)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return a template that `problem_in_template` finds no fault with, its placeholders filled."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def problem_in_template(template: str, allowed: tuple[str, ...]) -> tuple[str, str] | None:
    """Return (what is wrong, the fix) of a topic to publish on, None where it is fine."""
    unknown = _unknown_placeholder(template, allowed)
    if unknown:
        return unknown
    bare = _PLACEHOLDER.sub("x", template)
    if not bare or set(bare) & set("+#{}\0"):
        return f"{template!r} is no topic one can publish on", "write levels and placeholders, without + and #"
    return None


def problem_in_source(template: str) -> tuple[str, str] | None:
    """Return (what is wrong, the fix) of a topic to subscribe to, None where it is fine."""
    unknown = _unknown_placeholder(template, ("stream",))
    if unknown:
        return unknown
    levels = template.split("/")
    if levels[0] == "$share":
        return (
            f"{template!r} is a shared subscription",
            f"write topic = {'/'.join(levels[2:])!r} and share = {levels[1] if len(levels) > 1 else 'group'!r}",
        )
    if levels.count(STREAM) != 1:
        fix = f"write one whole level as {STREAM}: it names the asset, as in plant/{STREAM}/vibration"
        return f"{template!r} does not say which level names the stream", fix
    odd_plus = any("+" in level and level != "+" for level in levels)
    odd_hash = any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#")
    odd_sign = any(set(level) & set("{}\0") for level in levels if level != STREAM)
    if odd_plus or odd_hash or odd_sign:
        return f"{template!r} is no topic filter", "+ and {stream} stand for one whole level, # only at the end"
    return None


def _unknown_placeholder(template: str, allowed: tuple[str, ...]) -> tuple[str, str] | None:
    for name in _PLACEHOLDER.findall(template):
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            fix = f"did you mean {{{close[0]}}}?" if close else f"known here: {', '.join(f'{{{n}}}' for n in allowed)}"
            return f"{template!r} has the unknown placeholder {{{name}}}", fix
    return None
