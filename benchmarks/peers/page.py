"""The results for people: a table in Markdown, and everything as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.peers.results import COPY, FLOAT32, OURS, Row, Table
from benchmarks.peers.run import SATURATING, Machine
from benchmarks.peers.verdict import Verdict

HEADINGS = ("", "size", "speed-up over float32 [95 %]", "processes", "metric", "made in", "peak memory", "")


def markdown(tables: Sequence[Table], verdicts: Sequence[Verdict]) -> str:
    """Return one table per model and the verdicts."""
    parts = [_table(table) for table in tables]
    if not verdicts:
        return "\n\n".join(parts)
    rules = ["| rule | holds | found |", "|---|---|---|"]
    rules += [f"| {_cell(each.rule)} | {each.answer} | {_cell(each.found)} |" for each in verdicts]
    return "\n\n".join([*parts, "\n".join(rules)])


def preamble(tables: Sequence[Table], machine: Machine, date: str, processes: int, rounds: int) -> str:
    """Return what a reader must know of the figures: date, machine, versions, doubts."""
    versions = dict.fromkeys(row.version for table in tables for row in table.rows if row.version)
    sentences = [
        f"**measured** {date} on {machine.name}; onnxruntime {machine.onnxruntime}, 1 thread, batch 1",
        f"Each speed-up is that of the median of {processes} processes with {rounds} interleaved rounds each, "
        "“processes” the smallest and largest median",
        f"Tools: {', '.join(versions)}",
    ]
    if any(row.is_peer and row.session == SATURATING for table in tables for row in table.rows):
        sentences.append(
            "On this processor uint8 x int8 sums saturate: each tool counts with saturating or with exact sums "
            "(`session.x64quantprecision`), whichever is faster inside the budget"
        )
    if machine.doubts:
        sentences.append(f"Doubts: {'; '.join(machine.doubts)}")
    return ". ".join(sentences) + "."


def as_json(tables: Sequence[Table], verdicts: Sequence[Verdict], about: dict[str, Any]) -> dict[str, Any]:
    """Return all rows, those not shown in the table included, as plain values."""
    models = [{**asdict(table), "rows": [_plain(table, row) for row in table.rows]} for table in tables]
    return {**about, "models": models, "verdicts": [asdict(each) for each in verdicts]}


def _plain(table: Table, row: Row) -> dict[str, Any]:
    speedup = row.speedup
    derived = {"speedup": asdict(speedup) if speedup else None, "spread": row.spread, "inside": table.inside(row)}
    return {**asdict(row), **derived, "counts": table.row(row.tool) is row}


def _table(table: Table) -> str:
    bound = "at least" if table.higher_is_better else "at most"
    headings = [f"{table.model} ({table.metric} {bound} {table.worst:.4g})", *HEADINGS[1:]]
    lines = [_line(headings), _line(["---", *["---:"] * 6, "---"])]
    return "\n".join([*lines, *(_line(_cells(table, row)) for row in table.shown())])


def _cells(table: Table, row: Row) -> list[str]:
    own = row.tool in {FLOAT32, COPY}
    name = f"**{row.tool}**" if row.tool == OURS else row.tool
    made = "" if own else f"{row.seconds:.1f} s"
    memory = "" if own else f"{row.peak_bytes / 1e6:.0f} MB"
    if not row.speedups or not row.speedup or not row.spread:
        return [name, "", "", "", "", made, memory, _cell(f"no row: {row.reason}")]
    interval = f"{row.speedup.value:.2f} [{row.speedup.low:.2f}, {row.speedup.high:.2f}]"
    spread = f"{row.spread[0]:.2f} to {row.spread[1]:.2f}"
    metric = "" if row.metric is None else f"{row.metric:g}"
    remark = _remark(table, row)
    return [name, f"{row.size / 1000:.0f} kB", interval, spread, metric, made, memory, _cell(remark)]


def _remark(table: Table, row: Row) -> str:
    remarks = [row.reason or ""]
    if row.metric is not None and not table.inside(row):
        remarks.append("outside the budget")
    if row is table.fastest_peer():
        remarks.append("fastest other tool inside the budget")
    if row.is_peer and row.session == SATURATING:  # ours is made so that its sums cannot saturate
        remarks.append("saturating sums")
    if row.tool == OURS and row.note:
        remarks.append(row.note.partition(":")[0])
    return "; ".join(remark for remark in remarks if remark)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Keep text inside its cell."""
    return text.replace("|", "\\|").replace("\n", " ")
