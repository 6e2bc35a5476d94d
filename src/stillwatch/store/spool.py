"""What detection keeps of a log: sketches and texts in parts on disk, so that memory does not grow with the log.

A part is what one run read: a folder with Parquet files and a manifest, put in place by one rename when it is complete.  A spool lives for one run, or it
is a state that the next run goes on with; then a run reads only new files.  The folder holds customers' prompts in clear and is made with mode 0700.

Times are hostile: a log says what it likes and a clock may jump.  What counts as newest is never later than a day from now, nothing is deleted that is not
older than the window by the clock *and* by the log, and a part's manifest stays when its data are gone, so that its files are not read again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.records import CALLS, SKETCHES
from stillwatch.store.digests import sha256_at
from stillwatch.store.files import drop_drafts, flush, write_atomically
from stillwatch.store.work import Work

#: Clocks differ; what lies further ahead of now than so many seconds is not believed.
AHEAD: Final = 86_400.0
#: Version of the manifest; 1 had neither ``read`` nor ``Source.again``.
_MANIFEST: Final = 2
_TEXTS: Final = pa.schema([pa.field("call", pa.int64()), CALLS.field("roles"), CALLS.field("segments")])
#: Bytes of texts that are kept in memory.
_KEPT: Final = 64 << 20


class StateError(ValueError):
    """A state that cannot be gone on with; the message says why and what to do."""


class Source(msgspec.Struct, frozen=True):
    """A log file that was read.

    ``sha256`` is of the file as it lay on disk; ``changed`` its time of change in nanoseconds.  ``again`` is the digest of an earlier reading that this
    one holds all of: the file had grown since, or was read while the clock was behind it.
    """

    path: str
    bytes: int
    changed: int
    sha256: str
    calls: int
    rejected: int
    again: str = ""


class Manifest(msgspec.Struct):
    """What a part holds: ``calls`` from call number ``start`` on, between ``first`` and ``last`` (epoch seconds), read when the clock said ``read``."""

    recipe: str
    key: str
    start: int
    calls: int = 0
    first: float | None = None
    last: float | None = None
    sources: tuple[Source, ...] = ()
    version: int = 1
    read: float | None = None

    def settled(self, source: Source) -> bool:
        """Whether the file is done with.  One that changed later than the clock said was read by a wrong clock, which may have turned calls away."""
        return self.read is None or not source.rejected or source.changed <= (self.read + AHEAD) * 1e9


@dataclass(frozen=True, slots=True)
class Unread:
    """A log file that is to be read; ``changed`` and ``again`` as in ``Source``."""

    file: Path
    changed: int
    again: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What a run looks at: the calls of ``parts`` later than ``begin`` and not later than ``latest``, but none of a number in ``again`` (from, up to)."""

    parts: tuple[Part, ...]
    begin: float
    latest: float
    again: tuple[tuple[int, int], ...]
    sources: tuple[Source, ...]

    @property
    def ahead(self) -> bool:
        """Whether some calls are later than ``latest``."""
        return any(p.manifest.last is not None and p.manifest.last > self.latest for p in self.parts)


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
        now: what the clock says, in epoch seconds.
        recipe: the sketches' recipe.
        key: a fingerprint of the identity key: references made with another key do not meet.

    Raises:
        StateError: another run uses the state, or it was made with another recipe or key, or is damaged.
    """

    def __init__(self, beside: Path, *, now: float, state: Path | None = None, recipe: str = "", key: str = "") -> None:
        self.state = state
        self.parts: list[Part] = []
        self._gone: list[tuple[int, Manifest]] = []  # parts whose data were deleted, by number
        self._kept: dict[tuple[Path, int], pa.Table] = {}
        self._now = now
        self._lock: int | None = None
        if state is not None:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            state.chmod(0o700)
            self._lock = _locked(state)
            drop_drafts(state)
        try:
            if state is not None:
                self.parts = [_part(f, recipe, key) for f in sorted(state.glob("part-*"))]
                self._gone = [(_number(f), _load(f, "", "")) for f in sorted(state.glob("read-*.json"))]
            self._work = Work(state or beside)
        except BaseException:
            self._unlock()
            raise
        self.folder = self._work.folder
        start = max((m.start + m.calls for m in self._manifests()), default=0)
        self._new = Part(self.folder / "part", Manifest(recipe, key, start, version=_MANIFEST, read=now))
        try:
            self._new.folder.mkdir()
            self._sketch_file = pq.ParquetWriter(
                self._new.sketches,
                SKETCHES,
                compression="zstd",
                compression_level=1,
                use_dictionary=["account", "model", "mail_domain_ref"],
            )
            self._text_file = pq.ParquetWriter(self._new.texts, _TEXTS, compression="zstd", compression_level=1, use_dictionary=False)
        except BaseException:
            self._work.remove()
            self._unlock()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._close()
        except OSError:  # the disk is full
            if error is None:
                raise
        finally:
            self._work.remove()
            self._unlock()

    @property
    def next_call(self) -> int:
        """Number of the next call to be added."""
        return self._new.manifest.start + self._new.manifest.calls

    def unread(self, files: Sequence[Path]) -> list[Unread]:
        """The files that are not in the state yet, or have grown or changed since.

        A file that was read is known by its name, size and time of change, and under any other name by its digest.  One whose beginning was read, under its
        name or another in its folder, has grown: it is read again as a whole, and the earlier reading then no longer counts.
        """
        settled = [s for m in self._manifests() for s in m.sources if m.settled(s)]
        names = {(s.path, s.bytes, s.changed) for s in settled}
        done = {s.sha256 for s in settled}
        before = [s for m in self._manifests() for s in m.sources]
        elsewhere: dict[
            Path, list[Source]
        ] = {}  # by folder, readings of files that are no longer there as they were: grown, rotated, deleted
        for s in before:
            if _stamp(Path(s.path)) != (s.bytes, s.changed):
                elsewhere.setdefault(Path(s.path).parent, []).append(s)
        found = []
        for file in files:
            path, about = file.resolve(), file.stat()
            if (str(path), about.st_size, about.st_mtime_ns) in names:
                continue
            maybe = [s for s in before if s.bytes == about.st_size]
            maybe += [s for s in elsewhere.get(path.parent, ()) if 0 < s.bytes < about.st_size]
            digests = sha256_at(file, {s.bytes for s in maybe}) if maybe else {}
            if digests.get(about.st_size) in done:
                continue
            held = {s.bytes: s.sha256 for s in maybe if digests.get(s.bytes) == s.sha256}
            found.append(Unread(file, about.st_mtime_ns, held[max(held)] if held else ""))
        return found

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
        calls = {s.sha256: s.calls for m in self._manifests() for s in m.sources}
        # A reading that broke off before it had all of the earlier one does not stand for it.
        self._new.manifest.sources = tuple(s if s.calls >= calls.get(s.again, 0) else msgspec.structs.replace(s, again="") for s in sources)
        (self._new.folder / "manifest.json").write_bytes(msgspec.json.encode(self._new.manifest))
        if self.state is not None:
            if not sources:
                if not self.parts:  # all that was read is forgotten
                    self.parts.append(self._new)
                return
            if quarantine is not None and quarantine.exists():
                shutil.copyfile(quarantine, self._new.folder / "quarantine.jsonl")
            for file in self._new.folder.iterdir():
                with file.open("rb+") as handle:
                    os.fsync(handle.fileno())
            numbers = [_number(p.folder) for p in self.parts] + [n for n, _ in self._gone]
            place = self.state / f"part-{max(numbers, default=0) + 1:06d}"
            self._new.folder.rename(place)
            flush(self.state)
            self._new.folder = place
        self.parts.append(self._new)
        whole = self._superseded()
        for part in self.parts[:-1]:
            if all(whole.get(s.sha256, part.manifest) is not part.manifest for s in part.manifest.sources):
                self._drop(part)  # all of it was read again

    def view(self, window: float | None) -> View:
        """What counts of all that was read: a window of seconds up to the newest call, or everything.

        Calls later than a day from now are kept, for the clock may be wrong, and looked at when they are due.
        """
        latest = self._now + AHEAD
        newest = max((at for at in (_newest(p, latest) for p in self.parts) if at is not None), default=float("-inf"))
        begin = float("-inf") if window is None else newest - window
        parts = tuple(p for p in self.parts if p.manifest.last is not None and p.manifest.last > begin)
        whole, again = self._superseded(), []
        for part in parts:
            at = part.manifest.start
            for source in part.manifest.sources:
                if source.calls and whole.get(source.sha256, part.manifest) is not part.manifest:
                    again.append((at, at + source.calls))
                at += source.calls
        sources = tuple(s for p in parts for s in p.manifest.sources if whole.get(s.sha256, p.manifest) is p.manifest)
        return View(parts, begin, latest, tuple(again), sources)

    def forget(self, window: float) -> int:
        """Delete a state's parts whose calls are all older than a window of seconds, both before now and before the newest call; the number of them."""
        begin = min(self.view(window).begin, self._now - window)
        old = [p for p in self.parts if p.manifest.last is not None and p.manifest.last <= begin]
        for part in old:
            self._drop(part)
        return len(old)

    def _drop(self, part: Part) -> None:
        """Delete a part's data and keep its manifest, so that its files are known for ever."""
        self.parts.remove(part)
        if self.state is None or part.folder.parent != self.state:
            return
        number = _number(part.folder)
        write_atomically(self.state / f"read-{number:06d}.json", lambda p: p.write_bytes(msgspec.json.encode(part.manifest)))
        self._gone.append((number, part.manifest))
        gone = self.folder / part.folder.name  # out of the way at once, whatever happens while it is deleted
        part.folder.rename(gone)
        flush(self.state)
        shutil.rmtree(gone, ignore_errors=True)

    def _manifests(self) -> list[Manifest]:
        return [m for _, m in self._gone] + [p.manifest for p in self.parts]

    def _superseded(self) -> dict[str, Manifest]:
        """Digest of an earlier reading -> the last part that held all of it again."""
        return {s.again: m for m in self._manifests() for s in m.sources if s.again}

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def _close(self) -> None:
        self._sketch_file.close()
        self._text_file.close()

    def _row_group(self, part: Part, file: pq.ParquetFile, group: int) -> pa.Table:
        """A row group of texts; those of a small log are kept, for a run asks for a few texts many times."""
        known = self._kept.get((part.texts, group))
        if known is None:
            known = file.read_row_group(group)
            if sum(t.nbytes for t in self._kept.values()) + known.nbytes <= _KEPT:
                self._kept[part.texts, group] = known
        return known

    def texts(self, calls: Iterable[int]) -> dict[int, list[tuple[str, str]]]:
        """call number -> [(role, text), ...] for a few calls; reads only the row groups that hold them."""
        wanted = sorted(set(calls))
        found: dict[int, list[tuple[str, str]]] = {}
        for part in self.parts:
            m = part.manifest
            mine = wanted[bisect_left(wanted, m.start) : bisect_left(wanted, m.start + m.calls)]
            if not mine:
                continue
            file = _parquet(part.texts)
            for group in range(file.num_row_groups):
                stats = file.metadata.row_group(group).column(0).statistics
                here = mine[bisect_left(mine, stats.min) : bisect_right(mine, stats.max)]
                if not here:
                    continue
                try:
                    rows = self._row_group(part, file, group).filter(pc.field("call").isin(here))
                except (OSError, pa.ArrowException) as error:
                    raise _damaged(part.folder, error) from None
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


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        about = file.stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns


def _number(place: Path) -> int:
    """Of ``part-000007`` or ``read-000007.json``."""
    return int(place.name.removesuffix(".json").rpartition("-")[2])


def _newest(part: Part, latest: float) -> float | None:
    """A part's last call that is not later than ``latest``."""
    last = part.manifest.last
    if last is None or last <= latest:
        return last
    at = pq.read_table(part.sketches, columns=["at"], filters=pc.field("at") <= latest).column("at")
    newest: float | None = pc.max(at).as_py()
    return newest


def damage_of(state: Path) -> StateError | None:
    """What is to be said of the first part of a state that cannot be read as a whole; None where all can.

    It takes as long as reading all of them, so it is asked only when something went wrong.
    """
    for folder in sorted(state.glob("part-*")):
        try:
            for _ in _parquet(folder / "sketches.parquet").iter_batches():
                pass
        except (OSError, pa.ArrowException) as error:
            return _damaged(folder, f"sketches.parquet: {' '.join(str(error).split())}")
        except StateError as error:
            return error
    return None


def _part(folder: Path, recipe: str, key: str) -> Part:
    part = Part(folder, _load(folder / "manifest.json", recipe, key))
    for file in (part.sketches, part.texts):
        _parquet(file)
    return part


def _parquet(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file.parent, f"{file.name}: {' '.join(str(error).split())}") from None


def _damaged(part: Path, what: object) -> StateError:
    return StateError(f"{part}: the part is damaged ({what}); delete it and give its logs again")


def _load(file: Path, recipe: str, key: str) -> Manifest:
    place = file.parent if recipe else file
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise _damaged(place, error) from None
    if manifest.version > _MANIFEST:
        raise StateError(
            f"{place}: written by a newer Stillwatch (manifest {manifest.version}, this version reads {_MANIFEST}); use that version"
        )
    if recipe and manifest.recipe != recipe:
        raise StateError(f"{place}: made with recipe {manifest.recipe}, this version has {recipe}; begin a new state from the logs")
    if recipe and manifest.key != key:
        raise StateError(f"{place}: made with another identity key; name that key with --key or begin a new state")
    return manifest
