"""Windows on disk: what a restart finds after a clean stop, a crash, a crash while saving, and damage."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.stream.rules import StreamBound, WindowRule
from edge_runtime.stream.window import Windows
from edge_runtime.window_saver import WindowSaver
from edge_runtime.window_store import WindowStore


def _windows(rows: int = 0) -> Windows:
    windows = Windows(WindowRule(3, 1, 1, "first"), StreamBound(10))
    _feed(windows, rows)
    return windows


def _feed(windows: Windows, rows: int) -> list[tuple[int, bool]]:
    """Push rows and return (number, complete) of the windows they make."""
    made = []
    for row in np.arange(rows, dtype=np.float32):
        found = windows.push("pump", row[None], None)
        assert not isinstance(found, str)
        made += [(window.number, window.complete) for window in found]
    return made


def _restored(path: Path) -> tuple[WindowStore, list[tuple[int, bool]]]:
    store, windows = WindowStore(path), _windows()
    store.restore({"p": windows})
    return store, _feed(windows, 1)


def test_after_a_clean_stop_windows_go_on_whole(tmp_path: Path) -> None:
    """Nothing can have come in between, so that the next window is complete."""
    WindowStore(tmp_path / "state" / "c.windows").save({"p": _windows(4).tails()}, clean=True)
    assert _restored(tmp_path / "state" / "c.windows")[1] == [(5, True)]


def test_after_a_crash_windows_go_on_and_are_marked(tmp_path: Path) -> None:
    """What a run saved before it died is used, and what may be missing is said with it."""
    WindowStore(tmp_path / "c.windows").save({"p": _windows(4).tails()}, clean=False)
    assert _restored(tmp_path / "c.windows")[1] == [(5, False)]


def test_a_clean_file_is_so_only_until_readings_come_in(tmp_path: Path) -> None:
    """A run that began and died before its first save leaves the windows of the run before, marked."""
    path = tmp_path / "c.windows"
    WindowStore(path).save({"p": _windows(4).tails()}, clean=True)
    store, made = _restored(path)
    assert made == [(5, True)]
    store.begin()
    assert _restored(path)[1] == [(5, False)]


def test_what_has_not_changed_is_not_written(tmp_path: Path) -> None:
    """A plant that stands still wears out no memory card."""
    store = WindowStore(tmp_path / "c.windows")
    assert store.save({"p": _windows(4).tails()}, clean=False) > 0
    assert store.save({"p": _windows(4).tails()}, clean=False) == 0


def test_a_damaged_file_is_set_aside_and_the_copy_before_it_used(tmp_path: Path) -> None:
    """One flipped bit costs the time between two saves, and is counted."""
    path = tmp_path / "c.windows"
    store = WindowStore(path)
    store.save({"p": _windows(4).tails()}, clean=False)
    store.save({"p": _windows(9).tails()}, clean=True)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    store, made = _restored(path)
    assert (store.damaged, made) == (1, [(5, False)])
    assert path.with_suffix(".windows.damaged").read_bytes() != data


def test_a_kill_while_saving_leaves_the_copy_before(tmp_path: Path) -> None:
    """Between setting the old file aside and having the new one, the old one is found."""
    path = tmp_path / "c.windows"
    WindowStore(path).save({"p": _windows(4).tails()}, clean=False)
    script = f"""\
        from pathlib import Path
        from edge_runtime.window_store import WindowStore
        WindowStore(Path({str(path)!r})).save({{"p": []}}, clean=False)
    """
    died = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"EDGE_CRASH_AT": "windows.save.between"},
        check=False,
        timeout=60,
    )
    assert died.returncode == -9
    assert not path.exists()
    assert _restored(path)[1] == [(5, False)]


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Serving goes on; the log has one line when it begins and one when it ends."""
    path = tmp_path / "state" / "c.windows"
    store = WindowStore(path)
    (tmp_path / "state").write_text("in the way")
    caplog.set_level("INFO")
    assert [store.save({"p": _windows(count).tails()}, clean=False) for count in (1, 2)] == [0, 0]
    (tmp_path / "state").unlink()
    assert store.save({"p": _windows(3).tails()}, clean=False) > 0
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_the_saver_writes_what_workers_offer(tmp_path: Path) -> None:
    """Each worker hands over a copy when one is wanted, and the file holds it while the worker goes on."""
    path, windows, saved = tmp_path / "c.windows", Windows(WindowRule(1, 1, 1, "none"), StreamBound(1000)), False
    for number in range(1000):
        windows.push(f"pump-{number}", np.zeros(1, np.float32), None)
    saver = WindowSaver(WindowStore(path), 0.01, ["p"], lambda work: work())
    saver.start()
    pause = threading.Event()
    for _ in range(1000):
        saver.offer("p", windows)
        saved = path.exists()
        if saved:
            break
        pause.wait(0.01)
    saver.stop()
    assert saved
    after = Windows(WindowRule(1, 1, 1, "none"), StreamBound(1000))
    WindowStore(path).restore({"p": after})
    assert {name for name, _ in after.tails()} == {f"pump-{number}" for number in range(1000)}
