"""The folder for what outlives a run: one daemon at a time, and a record of how the runs before ended."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path
from types import TracebackType

import msgspec

from edge_runtime.errors import EdgeoptError, EnvironmentFault
from edge_runtime.files import write_atomically

log = logging.getLogger(__name__)

_LOCK = "edge-runtime.lock"  # one for the folder, whatever the configuration is called: they share its outbox
_REMEMBERED_SECONDS = 600.0


class Record(msgspec.Struct, frozen=True):
    """What a run leaves for the next one and for `edge-runtime status`.

    Attributes:
        unclean: When the runs began that ended without saying so, and the one that runs, seconds since 1970.
        last: The last health message of the latest run that ended in order, null before the first.
    """

    unclean: tuple[float, ...] = ()
    last: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def last_words(self) -> bytes:
        """Return the last health message, empty where there is none."""
        words = bytes(self.last)
        return b"" if words == b"null" else words


class StateFolder:
    """Holds the folder for one daemon from `with` to its end; what is left there was wanted there.

    Args:
        folder: Made where it is missing, and removed again where it stays empty.
        stem: Name of the configuration, for the files that are its own.

    Attributes:
        unclean_starts: Runs of the last ten minutes that ended without saying so; counted at `with`.
        last_words: The health message to keep when this run ends; empty keeps the one before.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder = folder
        self.unclean_starts = 0
        self.last_words = b""
        self._record_file = record_file(folder, stem)
        self._lock: int | None = None
        self._made = False
        self._before = Record()

    def __enter__(self) -> StateFolder:
        """Take the folder.

        Raises:
            EnvironmentFault: E-STATE-LOCKED, another daemon has it; E-FILE-WRITE, it cannot be made or written.
        """
        try:
            self._made = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _take(self.folder / _LOCK)
        except OSError as error:
            fix = "name a folder in [state] that the daemon's user may write"
            raise EnvironmentFault("E-FILE-WRITE", f"no file can be written in {self.folder}: {error}", fix) from error
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(_is_in_order(error))
        (self.folder / _LOCK).unlink(missing_ok=True)  # while it is held: who waits for it looks again, see _take
        if self._lock is not None:
            os.close(self._lock)
        if self._made:
            with contextlib.suppress(OSError):  # not empty
                self.folder.rmdir()

    def _begin(self) -> None:
        now = time.time()
        self._before = read_record(self._record_file)
        lately = tuple(start for start in self._before.unclean if 0 <= now - start < _REMEMBERED_SECONDS)
        self.unclean_starts = len(lately)
        if lately:
            log.warning("%d runs of the last ten minutes ended without a clean stop", len(lately))
        self._write(Record((*lately, now), self._before.last))

    def _end(self, in_order: bool) -> None:
        last = msgspec.Raw(self.last_words) if self.last_words else self._before.last
        if not in_order:
            self._write(Record(read_record(self._record_file).unclean, last))
        elif Record(last=last).last_words:
            self._write(Record(last=last))
        else:
            self._record_file.unlink(missing_ok=True)

    def _write(self, record: Record) -> None:
        try:
            write_atomically(self._record_file, msgspec.json.encode(record))
        except EnvironmentFault as error:
            log.error("how this run begins and ends cannot be recorded: %s", error)


def _is_in_order(error: BaseException | None) -> bool:
    """Tell whether a run ended by its own doing: asked to, or for an error it foresaw."""
    if isinstance(error, EdgeoptError):
        return error.code != "E-DAEMON-WORKER"
    return error is None or isinstance(error, KeyboardInterrupt | SystemExit)


def record_file(folder: Path, stem: str) -> Path:
    """Return where a configuration's record lies."""
    return folder / f"{stem}.runs.json"


def socket_file(folder: Path, stem: str) -> Path:
    """Return where a configuration's running daemon answers."""
    return folder / f"{stem}.sock"


def read_record(file: Path) -> Record:
    """Return the record; an empty one where there is none or it is damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except FileNotFoundError:
        return Record()
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("%s cannot be read and counts as empty: %s", file, error)
        return Record()


def _take(path: Path) -> int:
    """Lock the file and write this process's id into it; return its descriptor, which holds the lock until closed."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.fstat(lock), os.stat(path)):
                with contextlib.suppress(OSError):  # no room for a number: the lock holds all the same
                    os.truncate(lock, 0)
                    os.write(lock, str(os.getpid()).encode())
                return lock
        except BlockingIOError as error:
            owner = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            fix = 'stop that one, or give this configuration its own [state] folder = "…"'
            message = f"another daemon, process {owner}, works in {path.parent}"
            raise EnvironmentFault("E-STATE-LOCKED", message, fix) from error
        except OSError:
            os.close(lock)
            raise
        os.close(lock)  # its owner has removed it meanwhile: the name may be another file by now
