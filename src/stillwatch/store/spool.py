"""What detection keeps of a log: sketches and texts in parts on disk, so that memory does not grow with the log.

A part is what one run read: a folder with Parquet files and a manifest, put in place by one rename when it is complete.  A spool lives for one run, or it
is a state that the next run goes on with; then a run reads only new files.  The folder holds customers' prompts in clear and is made with mode 0700.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.records import CALLS, SKETCHES

_TEXTS: Final = pa.schema([pa.field("call", pa.int64()), CALLS.field("roles"), CALLS.field("segments")])


class StateError(ValueError):
    """A state that cannot be gone on with; the message says why and what to do."""


class Source(msgspec.Struct, frozen=True):
    """A log file that was read.  ``sha256`` is of the file as it lay on disk; ``changed`` its time of change in nanoseconds."""

    path: str
    bytes: int
    changed: int
    sha256: str
    calls: int
    rejected: int


class Manifest(msgspec.Struct):
    """What a part holds: ``calls`` from call number ``start`` on, between ``first`` and ``last`` (epoch seconds)."""

    recipe: str
    key: str
    start: int
    calls: int = 0
    first: float | None = None
    last: float | None = None
    sources: tuple[Source, ...] = ()


class Part:
    """One part on disk."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest

    @property
    def sketches(self) -> Path:
        """Rows of ``records.SKETCHES``."""
        return self.folder / "sketches.parquet"

    @property
    def texts(self) -> Path:
        """call, roles, segments."""
        return self.folder / "texts.parquet"


class Spool:
    """Take batches while the log is read, then give sketches as files and single texts by call number.

    Args:
        beside: where a spool of one run makes its folder.
        state: the folder of a state instead; made if it is not there.
        recipe: the sketches' recipe.
        key: a fingerprint of the identity key: references made with another key do not meet.

    Raises:
        StateError: another run uses the state, or it was made with another recipe or key, or is damaged.
    """

    def __init__(self, beside: Path, *, state: Path | None = None, recipe: str = "", key: str = "") -> None:
        self.state = state
        self.parts: list[Part] = []
        self._lock: int | None = None
        if state is not None:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            state.chmod(0o700)
            self._lock = _locked(state)
            for left in state.glob(".work-*"):  # a broken-off run's
                shutil.rmtree(left, ignore_errors=True)
            try:
                self.parts = [_load(folder, recipe, key) for folder in sorted(state.glob("part-*"))]
            except StateError:
                os.close(self._lock)
                raise
        self.folder = Path(tempfile.mkdtemp(prefix=".work-", dir=state or beside))
        start = max((p.manifest.start + p.manifest.calls for p in self.parts), default=0)
        self._new = Part(self.folder / "part", Manifest(recipe, key, start))
        self._new.folder.mkdir()
        self._sketch_file = pq.ParquetWriter(
            self._new.sketches, SKETCHES, compression="zstd", compression_level=1, use_dictionary=["account", "model", "mail_domain_ref"]
        )
        self._text_file = pq.ParquetWriter(self._new.texts, _TEXTS, compression="zstd", compression_level=1, use_dictionary=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._close()
        except OSError:  # the disk is full
            if error is None:
                raise
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            if self._lock is not None:
                os.close(self._lock)

    @property
    def next_call(self) -> int:
        """Number of the next call to be added."""
        return self._new.manifest.start + self._new.manifest.calls

    def known(self, file: Path) -> bool:
        """Whether the file was read before and has not changed since, as far as its size and time of change tell."""
        about = file.stat()
        this = (str(file.resolve()), about.st_size, about.st_mtime_ns)
        return any(this == (s.path, s.bytes, s.changed) for p in self.parts for s in p.manifest.sources)

    def add(self, calls: pa.RecordBatch, sketches: pa.RecordBatch) -> None:
        """Append one batch of ``records.CALLS`` with its ``records.SKETCHES``."""
        self._sketch_file.write_batch(sketches)
        self._text_file.write_batch(
            pa.RecordBatch.from_arrays([sketches.column("call"), calls.column("roles"), calls.column("segments")], schema=_TEXTS)
        )
        m = self._new.manifest
        m.calls += len(calls)
        if len(calls):
            span = pc.min_max(calls.column("at")).as_py()
            m.first = span["min"] if m.first is None else min(m.first, span["min"])
            m.last = span["max"] if m.last is None else max(m.last, span["max"])

    def finish(self, sources: Sequence[Source], quarantine: Path | None = None) -> None:
        """Put the new part in place with the files it was read from; ``quarantine`` is copied beside a state's part."""
        self._close()
        self._new.manifest.sources = tuple(sources)
        (self._new.folder / "manifest.json").write_bytes(msgspec.json.encode(self._new.manifest))
        if self.state is not None:
            if not sources:
                return
            if quarantine is not None and quarantine.exists():
                shutil.copyfile(quarantine, self._new.folder / "quarantine.jsonl")
            for file in self._new.folder.iterdir():
                with file.open("rb+") as handle:
                    os.fsync(handle.fileno())
            numbers = [int(p.folder.name.removeprefix("part-")) for p in self.parts]
            place = self.state / f"part-{max(numbers, default=0) + 1:06d}"
            self._new.folder.rename(place)
            self._new.folder = place
        self.parts.append(self._new)

    def since(self, window: float | None) -> tuple[float, list[Part]]:
        """(earliest time that counts, parts that hold later calls) for a window of seconds up to the newest call."""
        newest = max((p.manifest.last for p in self.parts if p.manifest.last is not None), default=0.0)
        begin = float("-inf") if window is None else newest - window
        return begin, [p for p in self.parts if p.manifest.last is not None and p.manifest.last > begin]

    def forget(self, begin: float) -> int:
        """Delete a state's parts whose calls are all before ``begin``; the number of them."""
        old = [p for p in self.parts if p.manifest.last is not None and p.manifest.last <= begin]
        for part in old if self.state is not None else []:
            gone = self.folder / part.folder.name  # out of the way at once, whatever happens while it is deleted
            part.folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        return len(old)

    def _close(self) -> None:
        self._sketch_file.close()
        self._text_file.close()

    def texts(self, calls: Iterable[int]) -> dict[int, list[tuple[str, str]]]:
        """call number -> [(role, text), ...] for a few calls; reads only the row groups that hold them."""
        wanted = sorted(set(calls))
        found: dict[int, list[tuple[str, str]]] = {}
        for part in self.parts:
            m = part.manifest
            mine = wanted[bisect_left(wanted, m.start) : bisect_left(wanted, m.start + m.calls)]
            file = pq.ParquetFile(part.texts) if mine else None
            for group in range(file.num_row_groups) if file else ():
                stats = file.metadata.row_group(group).column(0).statistics  # type: ignore[union-attr]
                here = mine[bisect_left(mine, stats.min) : bisect_right(mine, stats.max)]
                if not here:
                    continue
                rows = file.read_row_group(group).filter(pc.field("call").isin(here))  # type: ignore[union-attr]
                for row in rows.to_pylist():
                    found[row["call"]] = list(zip(row["roles"], row["segments"], strict=True))
        return found


def _locked(state: Path) -> int:
    handle = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StateError(f"{state}: another run is using this state; wait for it to end or name another folder") from None
    return handle


def _load(folder: Path, recipe: str, key: str) -> Part:
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(f"{folder}: the part is damaged ({error}); delete this folder and give its logs again") from None
    if manifest.recipe != recipe:
        raise StateError(f"{folder}: made with recipe {manifest.recipe}, this version has {recipe}; begin a new state from the logs")
    if manifest.key != key:
        raise StateError(f"{folder}: made with another identity key; name that key with --key or begin a new state")
    return Part(folder, manifest)
