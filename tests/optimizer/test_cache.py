"""The folder of results: found again, told apart, bounded, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from optimizer.cache import Cache, default_folder, key


def test_what_was_put_is_found_by_another_process(tmp_path: Path) -> None:
    """A second cache on the same folder answers; another kind or another part does not."""
    Cache(tmp_path).put("accuracy", {"model": "a", "seed": 1}, b"entry")
    again = Cache(tmp_path)
    assert again.get("accuracy", {"seed": 1, "model": "a"}) == b"entry"
    assert again.get("accuracy", {"model": "a", "seed": 2}) is None
    assert again.get("timing", {"model": "a", "seed": 1}) is None
    assert (again.hits, again.misses) == (1, 2)


def test_keys_do_not_depend_on_order() -> None:
    """The same named values give the same key however they are written down."""
    assert key({"a": 1, "b": [1.5, "x"]}) == key({"b": [1.5, "x"], "a": 1})
    assert key({"a": 1}) != key({"a": "1"})


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: raw[:-1] + b"?", lambda raw: b""])
def test_a_damaged_entry_is_a_miss(tmp_path: Path, damage: object) -> None:
    """A torn, changed or empty file is never taken for a result."""
    Cache(tmp_path).put("form", {}, b"0123456789")
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    assert Cache(tmp_path).get("form", {}) is None


def test_a_folder_that_cannot_be_written_is_said_and_does_not_stop_the_work(tmp_path: Path) -> None:
    """The entry still answers inside this process, and the trouble has words."""
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "folder")
    cache.put("form", {}, b"entry")
    assert cache.get("form", {}) == b"entry"
    assert cache.trouble


def test_without_a_folder_entries_live_in_the_process() -> None:
    """A run without a cache still does nothing twice."""
    cache = Cache(None)
    cache.put("form", {}, b"entry")
    assert cache.get("form", {}) == b"entry"


def test_trimming_removes_what_was_not_used_for_longest(tmp_path: Path) -> None:
    """The oldest entries go until the folder is below its bound; what was read lately stays."""
    cache = Cache(tmp_path)
    for number in range(4):
        cache.put("form", {"number": number}, bytes(1000))
        os.utime(tmp_path / f"form-{key({'number': number})}", (number, number))
    cache.get("form", {"number": 0})
    assert cache.trim(2100) == 2
    assert cache.get("form", {"number": 0}) is not None
    assert cache.get("form", {"number": 1}) is None


def test_trimming_touches_nothing_but_entries(tmp_path: Path) -> None:
    """A folder that holds other things keeps them, however large; what a kill cut off goes like an entry."""
    (tmp_path / "thesis.tex").write_bytes(bytes(5000))
    (tmp_path / "folder").mkdir()
    (tmp_path / f".form-{key({})}.ab12_cd").write_bytes(bytes(10))
    Cache(tmp_path).put("form", {"number": 1}, bytes(1000))
    assert Cache(tmp_path).trim(0) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "thesis.tex"]
    assert Cache(tmp_path / "thesis.tex").trim(0) == 0


def test_what_one_run_asks_again_is_no_hit(tmp_path: Path) -> None:
    """Hits are what an earlier run left: the user is told how much of the work was done already."""
    cache = Cache(tmp_path)
    assert cache.get("form", {}) is None
    cache.put("form", {}, b"entry")
    assert cache.get("form", {}) == b"entry"
    assert (cache.hits, cache.misses) == (0, 1)


def test_a_user_without_a_home_has_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a service's: nothing is kept where others could write."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert default_folder() is None


def test_a_pinned_entry_wins(tmp_path: Path) -> None:
    """Measurements taken over from a package answer before the folder's own."""
    cache = Cache(tmp_path)
    cache.put("timing", {"form": 1}, b"own")
    cache.pin("timing", key({"form": 1}), b"pinned")
    assert cache.get("timing", {"form": 1}) == b"pinned"


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME decides where it is set to an absolute path, else ~/.cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "edgeopt"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == Path.home() / ".cache" / "edgeopt"
