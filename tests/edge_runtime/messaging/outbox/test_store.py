"""The file itself: flipped bits on every page, a full disk, a newer schema, two daemons on one folder."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.errors import EnvironmentFault, Refused
from edge_runtime.messaging.outbox.contract import Entry, OutboxHealth
from edge_runtime.messaging.outbox.disk import DiskOutbox
from edge_runtime.messaging.outbox.keeping import Keeper
from edge_runtime.messaging.outbox.row import Change, Row
from edge_runtime.messaging.outbox.settings import DiskOptions
from edge_runtime.messaging.outbox.store import Store
from edge_runtime.messaging.outbox.writer import Writer

ROWS = 240
PAGE = 4096


class Clock:
    """Monotonic seconds that are told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


def row(number: int, size: int = 300) -> Row:
    """Return a row; every twentieth one is larger than a page."""
    payload = b'{"n":%d,"pad":"%s"}' % (number, b"." * (9000 if number % 20 == 0 else size))
    return Row(number, f"s{number % 3}", "b", number, "t/s", payload, 1_700_000_000)


def outbox_on(store: Store, clock: Clock) -> tuple[Writer, DiskOutbox]:
    """Return an outbox with its disk thread, which is not started: the test takes its steps."""
    writer = Writer(store, wake=lambda: None, on_gap=lambda gaps: None, clock=clock)
    writer.open()
    outbox = DiskOutbox("p", "new", DiskOptions(), bell=writer.bell, wake=lambda: None, clock=clock)
    writer.add(Keeper(outbox))
    return writer, outbox


def drained(folder: Path) -> tuple[set[int], OutboxHealth]:
    """Deliver everything a folder holds; return the numbers that came and the account."""
    clock = Clock()
    writer, outbox = outbox_on(Store(folder / "outbox.db"), clock)
    came: set[int] = set()
    for _ in range(100):
        clock.now += 3.0
        writer.step()
        taken = outbox.take(1000)
        came.update(int(one.payload.partition(b'"n":')[2].partition(b",")[0]) for one in taken)
        outbox.settle([one.ticket for one in taken])
        if not outbox.ledger.stored and not outbox.deletes:
            break
    writer.close(1.0)
    health = outbox.health()
    assert health.accepted == health.delivered + sum(health.dropped.values())
    assert health.fault is None
    return came, health


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder as a clean stop leaves it, and one as a kill does: half in the database, half in the log."""
    made = tmp_path_factory.mktemp("images")
    work, clean, killed = (made / name for name in ("work", "clean", "killed"))
    work.mkdir()
    store = Store(work / "outbox.db")
    store.open()
    store.apply([Change("p", [row(number) for number in range(1, ROWS // 2 + 1)])])
    store.close()
    store.open()
    for number in range(ROWS // 2 + 1, ROWS + 1, 12):
        store.apply([Change("p", [row(n) for n in range(number, number + 12)])])
    shutil.copytree(work, killed)
    store.close()
    shutil.copytree(work, clean)
    return {"clean": clean, "killed": killed}


def flips(file: Path, seed: int) -> Iterator[tuple[int, int]]:
    """Yield a byte and a bit of each page."""
    drawn = random.Random(seed)
    for page in range(file.stat().st_size // PAGE):
        yield page * PAGE + drawn.randrange(PAGE), drawn.randrange(8)


FILES = [("clean", "outbox.db"), ("killed", "outbox.db"), ("killed", "outbox.db-wal")]


@pytest.mark.parametrize(("image", "name"), FILES)
def test_a_flipped_bit_on_any_page_costs_at_most_that_page(
    image: str, name: str, images: dict[str, Path], tmp_path: Path
) -> None:
    """The rest is delivered, the account stays exact, and the daemon starts."""
    rows_of_a_page = 13
    for number, (place, bit) in enumerate(flips(images[image] / name, seed=7)):
        folder = tmp_path / str(number)
        shutil.copytree(images[image], folder)
        with (folder / name).open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1 << bit]))
        came, _ = drained(folder)
        missing = set(range(1, ROWS + 1)) - came
        assert len(missing) <= rows_of_a_page, (place, bit, sorted(missing))
        shutil.rmtree(folder)


@pytest.mark.parametrize("size", [0, 1, PAGE // 2, PAGE * 5 + 17])
def test_a_file_cut_short_is_no_reason_not_to_start(size: int, images: dict[str, Path], tmp_path: Path) -> None:
    """What the log still has is delivered."""
    shutil.copytree(images["killed"], tmp_path / "f")
    with (tmp_path / "f" / "outbox.db").open("r+b") as file:
        file.truncate(size)
    came, _ = drained(tmp_path / "f")
    assert came >= set(range(ROWS // 2 + 40, ROWS + 1))


def test_rot_inside_a_row_is_found_by_its_checksum(images: dict[str, Path], tmp_path: Path) -> None:
    """SQLite calls such a file sound; the row is dropped as corrupt, counted, and the others come."""
    shutil.copytree(images["clean"], tmp_path / "f")
    data = (tmp_path / "f" / "outbox.db").read_bytes()
    (tmp_path / "f" / "outbox.db").write_bytes(data.replace(b'{"n":33,"pad":"...', b'{"n":33,"pad":"..!', 1))
    came, health = drained(tmp_path / "f")
    assert set(range(1, ROWS + 1)) - came == {33}
    assert health.dropped == {"corrupt": 1}


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A downgrade must not destroy what a newer daemon wrote."""
    store = Store(tmp_path / "outbox.db")
    store.open()
    store.close()
    database = sqlite3.connect(tmp_path / "outbox.db")
    database.executescript("UPDATE version SET schema = 2; PRAGMA user_version = 2;")
    database.close()
    before = (tmp_path / "outbox.db").read_bytes()
    with pytest.raises(Refused) as caught:
        Store(tmp_path / "outbox.db").open()
    assert caught.value.code == "E-OUTBOX-SCHEMA"
    assert (tmp_path / "outbox.db").read_bytes() == before


def test_a_second_daemon_on_the_folder_is_refused(tmp_path: Path) -> None:
    """The first one goes on unharmed."""
    first, second = Store(tmp_path / "outbox.db"), Store(tmp_path / "outbox.db")
    first.open()
    with pytest.raises(EnvironmentFault) as caught:
        second.open()
    assert caught.value.code == "E-OUTBOX-BUSY"
    first.apply([Change("p", [row(1)])])
    first.close()
    second.open()
    assert second.tickets("p") == {1}
    second.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 4 MB; where that is not permitted, limit the size of files instead."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode == 0:
        yield folder
        subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, hard))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_said_survived_and_recovered_from(small_disk: Path) -> None:
    """Entries are taken in and sent all the while; once there is room again, they are stored without a restart."""
    clock = Clock()
    writer, outbox = outbox_on(Store(small_disk / "outbox.db"), clock)
    released: list[int] = []
    for number in range(1, 41):
        entries = [Entry("s", number * 64 + k, "t/s", b'{"n":1,"pad":"%s"}' % (b"." * 2000)) for k in range(64)]
        outbox.put(entries, lambda number=number: released.append(number))  # type: ignore[misc]
        clock.now += 3.0
        writer.step()
    health = outbox.health()
    assert health.fault is not None
    assert "full" in health.fault or "No space" in health.fault
    assert health.waiting > 0
    assert len(released) < 40
    assert health.accepted == 40 * 64 == health.stored + health.waiting
    for _ in range(200):  # the broker answers: what is stored is deleted, and so there is room again
        taken = outbox.take(64)
        outbox.settle([one.ticket for one in taken])
        clock.now += 3.0
        writer.step()
    health = outbox.health()
    assert health.fault is None
    assert (health.delivered, health.stored, health.waiting) == (40 * 64, 0, 0)
    assert len(released) == 40
    writer.close(1.0)
