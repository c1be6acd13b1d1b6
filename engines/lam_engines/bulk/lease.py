"""A lock on object storage: one driver at a time writes to an output, and one that was killed does not block the next.

The lock is the object ``_lock-NUMBER.json``, made with a conditional put. Its owner writes it anew every few seconds.
Who finds a lock that does not change takes it for left behind, and makes the lock of the next number: of several, one
succeeds. An owner that finds a higher number than its own, or another run's lock of its number, has lost the output.
Until it finds out, its workers see that the plan has changed. No clocks are compared.
"""

import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..files import OutputError
from ..storage import create, reached, read_at_once

_BEAT, _PATIENCE = 2.0, 10.0
"""Seconds between two writes of a lock, and until one without writes counts as left behind."""
LOCK = re.compile(r"_lock-(\d{6})\.json")


class Lease:
    """A lock that is held. ``check`` ends a run that has lost it."""

    def __init__(self, folder: Path, number: int) -> None:
        self._place = _place(folder, number)
        self._folder, self.number = folder, number
        self._run = uuid.uuid4().hex
        self._end = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def take(self) -> bool:
        """Make the lock; False if another run was faster."""
        try:
            create(self._place, self._written())
        except FileExistsError:
            return False
        self._thread.start()
        return True

    def check(self) -> None:
        """Raise :class:`OutputError` if another run has taken the output over."""
        if self._lost:
            raise OutputError(
                f"another run has taken over {self._folder}, because this one did not reach it for {_PATIENCE:.0f} s; "
                f"let that one end"
            )

    def give_back(self) -> None:
        """Remove the lock."""
        self._end.set()
        self._thread.join()
        if not self._lost:
            with suppress(Exception):  # a lock that cannot be removed is left behind like that of a killed run
                self._place.unlink(missing_ok=True)

    def _written(self) -> bytes:
        found = {"host": socket.gethostname(), "process": os.getpid(), "run": self._run, "beat": time.monotonic()}
        return json.dumps(found).encode()

    def _beat(self) -> None:
        while not self._end.wait(_BEAT) and not self._lost:
            with suppress(Exception):  # the network may be back in time
                if _place(self._folder, self.number + 1).exists() or not self._is_own():
                    self._lost = True
                else:
                    self._place.write_bytes(self._written())

    def _is_own(self) -> bool:
        try:
            return self._run.encode() in read_at_once(self._place)
        except FileNotFoundError:
            return False


@contextmanager
def leased(folder: Path, waiting: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Keep other runs out of a remote folder. Yields a function that raises if the folder was lost nevertheless.

    Args:
        folder: the output.
        waiting: told of a lock that is looked at for some seconds.

    Raises:
        OutputError: another run is writing there.
    """
    with reached(folder, OutputError):
        while found := locks(folder):
            waiting("looking whether another run is alive")
            changes = _changes(folder / found[max(found)])
            if changes:
                raise OutputError(f"another run is writing to {folder}; wait for its end, or name another folder")
            if changes is False:
                break
        lease = Lease(folder, max(found, default=0) + 1)
        if not lease.take():
            raise _begun(folder)
    try:
        with reached(folder, OutputError):
            if set(locks(folder)) - set(found) - {lease.number}:  # begun between the look and the lock
                raise _begun(folder)
        for name in found.values():
            with suppress(Exception):
                (folder / name).unlink(missing_ok=True)
        yield lease.check
    finally:
        lease.give_back()


def _begun(folder: Path) -> OutputError:
    return OutputError(f"another run has just begun to write to {folder}; wait for its end")


def _place(folder: Path, number: int) -> Path:
    return folder / f"_lock-{number:06d}.json"


def locks(folder: Path) -> dict[int, str]:
    """The locks in a folder, by number."""
    if not folder.is_dir():
        return {}
    return {int(found[1]): path.name for path in folder.iterdir() if (found := LOCK.fullmatch(path.name))}


def _changes(lock: Path) -> bool | None:
    """Whether somebody writes a lock anew; None if it is removed."""
    before, end = None, time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            now = read_at_once(lock)
        except FileNotFoundError:
            return None
        if now != (before := before or now):
            return True
        time.sleep(_BEAT / 2)
    return False
