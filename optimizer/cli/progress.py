"""Progress bars on a terminal; nothing where the output goes to a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TaskID

if TYPE_CHECKING:
    from optimizer.search import Progress as Report


@contextmanager
def shown_progress(console: Console) -> Iterator[Report]:
    """Yield a function (stage, done, in all) that draws one bar per stage; bars vanish at the end."""
    tasks: dict[str, TaskID] = {}
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report
