"""Tables are read row by row, and what is wrong with one is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import BadInput, EdgeoptError, EnvironmentFault
from edge_runtime.sources.table import Table, parse_cell


def write(folder: Path, text: str | bytes) -> Path:
    """Write a table and return its path."""
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_csv_names_its_columns_in_its_first_line(tmp_path: Path) -> None:
    """Numbers become numbers, empty cells None, the rest text; lines are counted from 1."""
    rows = list(Table(write(tmp_path, "unit,ts,temp\r\n7,2013-12-02 21:15:00,73.5\r\n8,,-1e3\r\n")))
    assert [row.values() for row in rows] == [
        {"unit": 7, "ts": "2013-12-02 21:15:00", "temp": 73.5},
        {"unit": 8, "ts": None, "temp": -1000.0},
    ]
    assert [row.line for row in rows] == [2, 3]


def test_a_text_table_has_numbered_columns_unless_they_are_named(tmp_path: Path) -> None:
    """Trailing blanks, as the C-MAPSS files have them, are no cells."""
    path = write(tmp_path, "1 1 0.5  \n\n1 2 0.25  \n")
    assert [row.values() for row in Table(path)] == [{"c1": 1, "c2": 1, "c3": 0.5}, {"c1": 1, "c2": 2, "c3": 0.25}]
    assert next(iter(Table(path, ("unit", "cycle", "s1")))).values() == {"unit": 1, "cycle": 1, "s1": 0.5}


def test_a_csv_without_header_takes_the_given_columns(tmp_path: Path) -> None:
    """With --columns the first line is a row like any other."""
    assert [row.values() for row in Table(write(tmp_path, "1,2\n3,4\n"), ("a", "b"))] == [
        {"a": 1, "b": 2},
        {"a": 3, "b": 4},
    ]


def test_quoted_cells_and_a_byte_order_mark_are_understood(tmp_path: Path) -> None:
    """A spreadsheet's export works as it is."""
    row = next(iter(Table(write(tmp_path, b'\xef\xbb\xbfname,note\nx,"a, ""b"""\n'))))
    assert row.cells == {"name": "x", "note": 'a, "b"'}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-2", -2),
        ("+3.0", 3.0),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("0", 0),
        ("007", "007"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("1e999", "1e999"),
        ("9" * 30, float("9" * 30)),
        ("", None),
        ("ok", "ok"),
    ],
)
def test_cells_are_numbers_only_where_json_has_them(text: str, value: object) -> None:
    """Codes keep their zeros, and nothing becomes NaN or infinity."""
    found = parse_cell(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "columns", "code", "place"),
    [
        ("", (), "E-REPLAY-EMPTY", "no rows"),
        (" \n\n", (), "E-REPLAY-EMPTY", "no rows"),
        ("a,b\n", (), "E-REPLAY-EMPTY", "no rows"),
        ("a,b\n1,2\n3\n", (), "E-REPLAY-ROW", ":3: it has 1 cells, the table has 2 columns"),
        ("1 2\n3 4 5\n", (), "E-REPLAY-ROW", ":2: it has 3 cells"),
        ("1 2\n", ("a",), "E-REPLAY-ROW", ":1: it has 2 cells, the table has 1 columns"),
        ('a,b\n1,"2\n', (), "E-REPLAY-ROW", "unexpected end of data"),
        (b"a,b\n1,2\n3,\xe9\n", (), "E-REPLAY-ENCODING", ":3:"),
        ("a,a\n1,2\n", (), "E-REPLAY-COLUMNS", "twice"),
        ("a,\n1,2\n", (), "E-REPLAY-COLUMNS", "no name"),
        ("1,2\n3,4\n", (), "E-REPLAY-COLUMNS", "holds numbers"),
    ],
)
def test_bad_tables_are_refused_with_code_and_place(
    tmp_path: Path, text: str | bytes, columns: tuple[str, ...], code: str, place: str
) -> None:
    """Every fault is a BadInput that names the line."""
    with pytest.raises(BadInput) as caught:
        list(Table(write(tmp_path, text), columns))
    assert caught.value.code == code
    assert place in caught.value.message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    """Nothing there is the user's mistake, something unreadable the machine's."""
    codes: dict[Path, tuple[str, type[EdgeoptError]]] = {
        tmp_path / "none.csv": ("E-REPLAY-NOT-FOUND", BadInput),
        tmp_path: ("E-FILE-READ", EnvironmentFault),
    }
    for path, (code, kind) in codes.items():
        with pytest.raises(kind) as caught:
            Table(path)
        assert caught.value.code == code


def test_rows_before_a_bad_one_are_still_played(tmp_path: Path) -> None:
    """The table is a stream: a bad line is met when it comes, not before."""
    rows = iter(Table(write(tmp_path, "a,b\n1,2\n3\n")))
    assert next(rows).values() == {"a": 1, "b": 2}
    with pytest.raises(BadInput):
        next(rows)
