"""The power fails (F04): the daemon's state lives on an ext4 image, and what the image holds at a moment is all."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from faults.packets import HoldAcknowledgements
from faults.result import Bench, Result
from faults.rig import Rig, Setup

_IMAGE_MIB = 48


class Image:
    """A file with an ext4 file system, mounted on a folder.

    A copy of the file while the file system is mounted is what a disk holds after a power cut: what was only in the
    file system's memory is missing, and the journal has to be replayed.
    """

    def __init__(self, folder: Path) -> None:
        self.mount_point = folder / "mnt"
        self._file, self._copy = folder / "disk.img", folder / "cut.img"
        self.mount_point.mkdir(parents=True, exist_ok=True)
        with self._file.open("wb") as file:
            file.truncate(_IMAGE_MIB << 20)
        _run("mkfs.ext4", "-q", "-F", self._file)

    def mount(self) -> None:
        """Mount it."""
        _run("mount", "-o", "loop", self._file, self.mount_point)

    def unmount(self) -> None:
        """Unmount it; harmless where it is not mounted."""
        subprocess.run(["umount", self.mount_point], check=False, capture_output=True)

    def copy(self) -> None:
        """Keep what the disk holds at this moment."""
        shutil.copyfile(self._file, self._copy)

    def put_back(self) -> None:
        """Unmount, and mount what was kept instead; its journal is replayed."""
        self.unmount()
        self._copy.replace(self._file)
        self.mount()


def why_not() -> str | None:
    """Return why no image can be mounted here, None where one can."""
    if os.geteuid() != 0:
        return "needs root, to mount an image"
    if not shutil.which("mkfs.ext4"):
        return "needs mkfs.ext4"
    return None


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Image]:
    """Return a mounted image that is unmounted in the end."""
    image = Image(folder)
    image.mount()
    try:
        yield image
    finally:
        image.unmount()


def _cuts(bench: Bench, row: str, delivery: str) -> Result:
    cuts = bench.count(50)
    result = Result(row, f"power cut (copy of a mounted ext4 image), {delivery}", cuts, bench.seed)
    result.not_run = why_not()
    if result.not_run:
        return result
    chance, hold = random.Random(bench.seed), HoldAcknowledgements()
    with mounted(bench.folder / "disk") as image:
        setup = Setup(delivery=delivery, proxied=True, state=image.mount_point / "state")
        with Rig(bench.folder, setup, bench.seed) as rig:
            rig.witness.inner = hold
            for number in range(cuts):
                if number % 2 == 0:
                    hold.close()  # every other time results pile up on the disk
                time.sleep(chance.uniform(0.3, 3))
                os.kill(rig.running.process_id, signal.SIGSTOP)
                image.copy()
                rig.kill_daemon()
                image.put_back()
                hold.open()
                result.expect(rig.start_daemon() is not None, f"not ready after cut {number}")
            rig.settle(result, faults=cuts)
            rig.kill_daemon()
    return result


def cut(bench: Bench) -> Result:
    """Every reading that was acknowledged before the cut is predicted after it."""
    return _cuts(bench, "F04", "broker")


def cut_end_to_end(bench: Bench) -> Result:
    """The same with cumulative acknowledgements."""
    return _cuts(bench, "F04-e2e", "end_to_end")


def _run(*arguments: str | Path) -> None:
    subprocess.run(arguments, check=True, capture_output=True)


ROWS = {"F04": cut, "F04-e2e": cut_end_to_end}
