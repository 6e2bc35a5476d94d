"""Files that appear whole or not at all, for their owner's eyes alone; folders that one run has at a time."""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


class BusyError(ValueError):
    """Another run is writing there; the message says where and what to do."""


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, with mode 0700; one that is there is left as it is."""
    missing = [folder, *folder.parents]
    for one in reversed(missing[: next((i for i, p in enumerate(missing) if p.exists()), len(missing))]):
        one.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(exist_ok=True)  # raises where it is a file


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder of results; drafts that a broken-off run left in it are removed.

    The lock is on the folder itself, so no file of it is left behind.  Where a file system knows no such lock, nothing is held: drafts have names of their
    own, and the last run to end wins.

    Raises:
        BusyError: another run holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{folder}: another run is writing there; wait for it to end or name another folder with --out") from None
        except OSError:
            pass
        else:
            drop_drafts(folder)
            (folder / "quarantine.jsonl.partial").unlink(missing_ok=True)
        yield
    finally:
        os.close(handle)


def drop_drafts(folder: Path) -> None:
    """Remove what killed writers left in a folder that nobody else is writing to."""
    for left in folder.glob(".*.*.part"):
        left.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside ``path``, flush it to disk and rename it into place, with mode 0600.

    A reader sees the old file or the new one, and a run that is broken off leaves the old one.
    """
    write_together({path: write})


def write_together(files: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write several files as ``write_atomically`` does; none is put in place before all are whole."""
    parts: dict[Path, Path] = {}
    try:
        for path, write in files.items():
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # a name of its own, mode 0600
            os.close(handle)
            parts[path] = Path(name)
            write(parts[path])
            with parts[path].open("rb+") as file:
                os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(path)
        for folder in {p.parent for p in parts}:
            flush(folder)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C wait until the block has ended, so that what belongs together is put in place together."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        signal.raise_signal(signal.SIGINT)


def flush(folder: Path) -> None:
    """Make a rename in a folder last through a power cut, where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
