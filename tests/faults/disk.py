"""The disk is full, or lies (F21, F24)."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from faults.packets import HoldAcknowledgements
from faults.plant import WINDOW
from faults.power import why_not
from faults.result import Bench, Result
from faults.rig import UNACKNOWLEDGED, Rig, Setup

_PAGE = 4096


@contextlib.contextmanager
def _small_disk(folder: Path, size: str = "4m") -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "edgeopt-faults", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=False)


def full(bench: Bench) -> Result:
    """The state folder's file system is full: inference goes on, health says so, and it recovers by itself."""
    rounds = bench.count(10)
    result = Result("F21", "state folder on a full tmpfs of 4 MB", rounds, bench.seed)
    result.not_run = why_not()
    if result.not_run:
        return result
    with (
        _small_disk(bench.folder / "small") as small,
        Rig(bench.folder, Setup(delivery="end_to_end", state=small / "state"), bench.seed) as rig,
    ):
        for _ in range(rounds):
            rig.wait_for_arrivals(50, 10)
            filler = small / "filler"
            _fill(filler)
            rig.subscriber.acknowledging = False  # so that predictions have to be stored
            predictions = _predictions(rig)
            told = rig.subscriber.wait_for(lambda: bool((rig.outbox() or {}).get("fault")), 15)
            result.expect(told, "the health message names no fault of the outbox while the disk is full")
            time.sleep(1)
            result.highest("predictions while full", _predictions(rig) - predictions)
            result.expect(_predictions(rig) > predictions, "no inference while the disk is full")
            filler.unlink()
            rig.subscriber.acknowledging = True
            well = rig.subscriber.wait_for(lambda: not (rig.outbox() or {"fault": "none"}).get("fault"), 20)
            result.expect(well, "the fault stays although there is space again")
            result.expect(rig.wait_for_arrivals(50, 20), "no predictions after there was space again")
        rig.settle(result, faults=rounds, window=WINDOW + UNACKNOWLEDGED)
        rig.kill_daemon()
    return result


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(_PAGE))


def _predictions(rig: Rig) -> int:
    return int(rig.subscriber.health.get("pipelines", {}).get("sum", {}).get("predictions", 0))


def damages(files: list[Path], chance: random.Random) -> list[tuple[str, Path, int]]:
    """Return what to do to files: (what, file, where), a bit of each page, and lengths to cut to."""
    found = []
    for file in files:
        size = file.stat().st_size
        for page in range(0, size, _PAGE):
            found.append(("flip", file, min(page + chance.randrange(_PAGE), size - 1)))
        for length in sorted({0, 1, size // 2, size - 1}):
            if 0 <= length < size:
                found.append(("cut", file, length))
        found.append(("remove", file, 0))
    return found


def _damage(what: str, file: Path, where: int, chance: random.Random) -> None:
    if what == "remove":
        file.unlink()
        return
    with file.open("r+b") as stream:
        if what == "cut":
            stream.truncate(where)
            return
        stream.seek(where)
        byte = stream.read(1)[0] ^ 1 << chance.randrange(8)
        stream.seek(where)
        stream.write(bytes([byte]))


def damaged(bench: Bench) -> Result:
    """A bit flips, or a file is cut: the daemon starts all the same, counts what it cannot read, delivers the rest."""
    result = Result("F24", "state files damaged: a bit per page, truncated, removed", 0, bench.seed)
    chance, hold = random.Random(bench.seed), HoldAcknowledgements()
    with Rig(bench.folder, Setup(proxied=True), bench.seed) as rig:
        rig.witness.inner = hold
        hold.close()
        rig.wait_for_arrivals(50, 10)
        time.sleep(3)
        rig.kill_daemon()
        rig.plant.stop()
        kept = bench.folder / "kept"
        if not rig.state.is_dir() or not any(one.stat().st_size for one in rig.state.rglob("*") if one.is_file()):
            result.problems.append("nothing was on disk, so that nothing was shown")
            return result
        shutil.copytree(rig.state, kept, ignore=shutil.ignore_patterns("*.sock"))
        hold.open()
        found = damages([one for one in sorted(rig.state.rglob("*")) if one.is_file()], chance)
        chance.shuffle(found)
        number = rig.plant.number + 1_000_000
        for what, file, where in found[: bench.count(len(found), 2)]:
            result.repeats += 1
            shutil.rmtree(rig.state)
            shutil.copytree(kept, rig.state)
            _damage(what, file, where, chance)
            name = f"{what} {file.name}@{where}"
            ready = rig.start_daemon()
            result.expect(ready is not None, f"{name}: does not start: {rig.log[-200:]!r}")
            number += 1
            rig.plant.send(number, "north")
            result.expect(rig.wait_for_arrivals(1, 10), f"{name}: no prediction afterwards")
            result.highest("files set aside", rig.subscriber.health.get("state_files_damaged", 0))
            rig.kill_daemon()
        result.expect("Traceback" not in rig.log, f"a traceback: {rig.log[rig.log.find('Traceback') :][:300]}")
    return result


ROWS = {"F21": full, "F24": damaged}
