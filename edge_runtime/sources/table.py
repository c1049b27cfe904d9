"""Rows of a CSV file or of a whitespace-separated text table, one at a time."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeAlias

from edge_runtime.errors import BadInput, EnvironmentFault

Cell: TypeAlias = int | float | str | None

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CODE = re.compile(r"0\d+")
_MAX_INTEGER_DIGITS = 18


@dataclass(frozen=True)
class Row:
    """One row: its line in the file (from 1) and its cells' text by column name."""

    line: int
    cells: dict[str, str]

    def values(self) -> dict[str, Cell]:
        """Return the cells as what they say: numbers, None where empty, else text."""
        return {name: parse_cell(text) for name, text in self.cells.items()}


class Table:
    """A table read as it is iterated, never as a whole.

    A first line with a comma makes it a CSV file, anything else a text table whose cells are divided by white space.
    The first line of a CSV file holds the column names, unless they are given; the columns of a text table are
    c1, c2, … unless they are given. Empty lines are passed over.

    Args:
        path: The file, UTF-8.
        columns: Column names of a table that has no header line.

    Raises:
        BadInput: E-REPLAY-NOT-FOUND, E-REPLAY-EMPTY, E-REPLAY-ENCODING, E-REPLAY-COLUMNS (names missing, doubled or
            numbers); while iterating E-REPLAY-ROW, a row has more or fewer cells than columns.
        EnvironmentFault: E-FILE-READ, the file exists but cannot be read.
    """

    def __init__(self, path: Path, columns: Sequence[str] = ()) -> None:
        self._path = path
        self._has_header, self.columns = False, tuple(columns)
        opening = self._opening_rows()
        if not self.columns and opening:
            self._has_header = self._is_csv
            self.columns = tuple(opening[0] if self._is_csv else (f"c{i}" for i in range(1, len(opening[0]) + 1)))
        if len(opening) <= self._has_header:
            raise BadInput("E-REPLAY-EMPTY", f"{path} has no rows", "give a table with at least one row")
        self._check_columns()

    def __iter__(self) -> Iterator[Row]:
        with self._open() as file:
            rows = self._split(file)
            if self._has_header:
                next(rows)
            for line, cells in rows:
                if len(cells) != len(self.columns):
                    raise self._bad_row(line, f"it has {len(cells)} cells, the table has {len(self.columns)} columns")
                yield Row(line, dict(zip(self.columns, cells, strict=True)))

    def _opening_rows(self) -> list[list[str]]:
        """Return the first two rows, fewer where there are fewer, and settle which kind of table this is."""
        with self._open() as file:
            self._is_csv = "," in next((text for text in self._lines(file) if text.strip()), "")
            file.seek(0)
            return [cells for _, cells in islice(self._split(file), 2)]

    def _split(self, file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, cells) of every row, the header included."""
        if not self._is_csv:
            yield from ((line, text.split()) for line, text in enumerate(self._lines(file), start=1) if text.strip())
            return
        reader = csv.reader(self._lines(file), strict=True)
        try:
            yield from ((reader.line_num, [cell.strip() for cell in row]) for row in reader if row)
        except csv.Error as error:
            raise self._bad_row(reader.line_num, str(error)) from error

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        for line, raw in enumerate(file, start=1):
            try:
                # A byte-order mark, as spreadsheets write it, is no part of the first column's name.
                yield raw.decode("utf-8-sig" if line == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise BadInput(
                    "E-REPLAY-ENCODING",
                    f"{self._path}:{line}: this is not UTF-8 text ({error.reason})",
                    f"convert it first: iconv -f LATIN1 -t UTF-8 {self._path} > table.csv",
                ) from error

    def _open(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except FileNotFoundError as error:
            raise BadInput("E-REPLAY-NOT-FOUND", f"there is no file {self._path}", "check the path") from error
        except OSError as error:
            raise EnvironmentFault(
                "E-FILE-READ", f"cannot read {self._path}: {error.strerror}", "check the path and its permissions"
            ) from error

    def _check_columns(self) -> None:
        problem = ""
        if not all(self.columns):
            problem = "a column has no name"
        elif len(set(self.columns)) != len(self.columns):
            problem = "a column name stands twice"
        elif self._has_header and all(_NUMBER.fullmatch(name) for name in self.columns):
            problem = "the first line holds numbers, not column names"
        if problem:
            raise BadInput(
                "E-REPLAY-COLUMNS",
                f"{self._path}: {problem}: {', '.join(self.columns)}",
                "name the columns of a table without a header line: --columns unit,cycle,temperature",
            )

    def _bad_row(self, line: int, why: str) -> BadInput:
        return BadInput("E-REPLAY-ROW", f"{self._path}:{line}: {why}", "correct that line and play the table again")


def parse_cell(text: str) -> Cell:
    """Return a cell as what it says: a finite number, None where it is empty, else its text.

    Codes such as ``007`` stay text, and so do ``nan`` and ``inf``, which JSON has no number for.
    """
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or _CODE.fullmatch(text):
        return text
    if text.lstrip("+-").isdigit() and len(text) <= _MAX_INTEGER_DIGITS:
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else text
