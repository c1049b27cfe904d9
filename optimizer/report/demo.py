"""The demo's words: what a person at the terminal reads while it happens."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from datetime import datetime

import msgspec
from rich.console import Console
from rich.markup import escape

from edge_runtime.messaging.json_payload import Prediction
from optimizer.report.terminal import print_result
from optimizer.result import Result


class Story:
    """Tells the demo step by step; the same words on a terminal, in a pipe and in a log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0

    def step(self, title: str, explanation: str) -> None:
        """Begin the next step."""
        self._step += 1
        self._console.print(f"\n[bold]{self._step}. {escape(title)}[/]")
        self._console.print(escape(explanation), style="dim")

    def say(self, text: str) -> None:
        """Print one plain line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, text: str) -> None:
        """Print something to copy or to read as it is, indented and never broken into other lines."""
        self.say(textwrap.indent(text.rstrip("\n"), "    "))

    def optimized(self, result: Result, written_to: str) -> None:
        """Print what the optimizer found."""
        print_result(result, self._console, written_to)

    def prediction(self, prediction: Prediction, note: str = "") -> None:
        """Print one prediction as it arrived."""
        probability = "" if prediction.value is None else f"{prediction.value:7.1%}"
        line = f"    {datetime.now():%H:%M:%S}  {prediction.stream}  {prediction.label or '-':<17}{probability}"
        if not prediction.alarm:
            self.say(line)
            return
        self._console.print(f"[bold red]{escape(line)}   ALARM[/]  {escape(note)}", highlight=False, soft_wrap=True)

    def messages(self, latest: Mapping[str, bytes], ending: str) -> None:
        """Print the latest message of each topic with this ending, as JSON, one key a line."""
        for topic, payload in latest.items():
            if topic.endswith(ending):
                self.say(topic)
                self.show(msgspec.json.format(payload, indent=2).decode())
