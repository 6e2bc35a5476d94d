"""Files -> Arrow batches of calls, in bounded memory.  One bad line never stops a run."""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from stillwatch.intake.identity import Identity
from stillwatch.intake.litellm import Payload, Rejected, RowMaker, decode, elements
from stillwatch.intake.quarantine import IntakeError, Quarantine
from stillwatch.records import CALLS

LONGEST_LINE: Final = 64 << 20
_ENDINGS: Final = (".jsonl", ".json", ".ndjson", ".log", ".parquet")
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(slots=True)
class FileReport:
    """What became of one file; ``sha256`` is of its bytes as they lie on disk."""

    file: str
    bytes: int = 0
    sha256: str = ""
    calls: int = 0
    rejected: int = 0


def expand(patterns: Sequence[str]) -> list[Path]:
    """Files named by paths, globs (``**`` too) and directories, sorted, each once.

    Raises:
        IntakeError: a pattern that matches no file.
    """
    found: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            here = [p for p in path.rglob("*") if p.is_file() and p.name.removesuffix(".gz").removesuffix(".zst").endswith(_ENDINGS)]
        elif path.is_file():
            here = [path]
        else:
            here = [p for p in map(Path, glob.glob(pattern, recursive=True)) if p.is_file()]  # noqa: PTH207 - absolute patterns
        if not here:
            raise IntakeError(f"{pattern}: no log file there; name a file, a glob or a directory with {', '.join(_ENDINGS)} files (.gz and .zst too)")
        found.update(here)
    return sorted(found)


class _Digesting(io.RawIOBase):
    """Passes a file's bytes on and hashes them on the way, so that no file is read twice."""

    def __init__(self, raw: IO[bytes], told: Callable[[int], None]) -> None:
        self._raw, self._told = raw, told
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self.digest.update(data)
        self.size += len(data)
        self._told(len(data))
        return len(data)

    def drain(self) -> None:
        while self.readinto(bytearray(1 << 20)):
            pass


class _Zstd(io.RawIOBase):
    """Unpacks zstd frames; unlike the library's own reader it says when the last frame is cut."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if self._frame.eof:
                rest = self._frame.unused_data or self._packed.read(1 << 16)
                if not rest:
                    return 0
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            else:
                rest = self._packed.read(1 << 16)
                if not rest:
                    raise EOFError("the last zstd frame is cut")
            self._ready = memoryview(self._frame.decompress(rest))
        n = min(len(buffer), len(self._ready))
        buffer[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n


@dataclass(slots=True)
class Reader:
    """Reads log files into batches of ``records.CALLS``.

    Attributes:
        reports: one per file, filled while reading.
        notices: sentences for the user about whole files.
    """

    identity: Identity
    quarantine: Quarantine
    batch_rows: int = 8192
    batch_bytes: int = 32 << 20
    progress: Callable[[int], None] = lambda _: None
    reports: list[FileReport] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def read(self, files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
        """Batches of calls, file after file.

        Raises:
            IntakeError: not one file could be read as a log.
        """
        unreadable = 0
        for path in files:
            report = FileReport(str(path))
            self.reports.append(report)
            before = self.quarantine.count
            try:
                yield from self._file(path, report)
            except (OSError, pa.ArrowInvalid, IntakeError) as error:
                unreadable += 1
                self.quarantine.add(str(path), 0, "", f"cannot be read: {error}")
                self.notices.append(f"{path}: cannot be read: {error}")
            report.rejected = self.quarantine.count - before
            if not report.calls and not report.rejected:
                self.notices.append(f"{path}: holds no calls")
        if files and unreadable == len(files):
            raise IntakeError("None of the files could be read as a log:\n" + "\n".join(self.notices))

    def _file(self, path: Path, report: FileReport) -> Iterator[pa.RecordBatch]:
        with path.open("rb") as raw:
            head = raw.read(4)
            raw.seek(0)
            source = _Digesting(raw, self.progress)
            if head == b"PAR1":
                source.drain()
                batches = self._parquet(path)
            else:
                batches = self._lines(path, self._unpacked(head, source))
            for batch in batches:
                report.calls += len(batch)
                yield batch
            source.drain()
            report.bytes, report.sha256 = source.size, source.digest.hexdigest()

    def _unpacked(self, head: bytes, source: _Digesting) -> IO[bytes]:
        buffered = io.BufferedReader(source, 1 << 20)
        if head[:2] == b"\x1f\x8b":
            return gzip.GzipFile(fileobj=buffered)
        if head == b"\x28\xb5\x2f\xfd":
            return io.BufferedReader(_Zstd(buffered), 1 << 20)
        return buffered

    def _lines(self, path: Path, stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
        make = RowMaker(self.identity)
        rows: list[dict[str, Any]] = []
        held = 0
        for number, offset, line in self._split(path, stream):
            for payload in self._payloads(path, number, offset, line):
                try:
                    row = make.row(payload)
                except Rejected as bad:
                    self.quarantine.add(str(path), number, bad.field, bad.reason, line, offset)
                    continue
                rows.append(row)
            held += len(line)
            if len(rows) >= self.batch_rows or held >= self.batch_bytes:
                if rows:
                    yield pa.RecordBatch.from_pylist(rows, schema=CALLS)
                rows, held = [], 0
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=CALLS)

    def _payloads(self, path: Path, number: int, offset: int, line: bytes) -> list[Payload]:
        if b"\0" in line:
            line = line.replace(b"\0", b"")  # the hole of a sparse file; inside JSON a NUL is written as an escape
            self.quarantine.repaired["NUL bytes left out"] += 1
            if not line.strip():
                return []
        text = line.strip()
        if text.startswith(b"["):
            try:
                return [decode(bytes(e)) for e in elements(text)]
            except Rejected as bad:
                self.quarantine.add(str(path), number, bad.field, bad.reason, line, offset)
                return []
        try:
            return [decode(text)]
        except Rejected as bad:
            try:
                text.decode("utf-8")
            except UnicodeDecodeError:
                try:
                    payload = decode(text.decode("utf-8", "replace").encode())
                except Rejected:
                    pass
                else:
                    self.quarantine.repaired["invalid UTF-8 replaced"] += 1
                    return [payload]
            self.quarantine.add(str(path), number, bad.field, bad.reason, line, offset)
            return []

    def _split(self, path: Path, stream: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
        """(line number, offset in the unpacked text, line) of the lines that are not blank."""
        number = offset = 0
        while True:
            try:
                line = stream.readline(LONGEST_LINE + 1)
            except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
                self.quarantine.add(str(path), number + 1, "", f"compressed file is cut or damaged ({error}); all before it was read", offset=offset)
                self.notices.append(f"{path}: cut or damaged after line {number}; all before it was read")
                return
            if not line:
                return
            number += 1
            start, offset = offset, offset + len(line)
            if number == 1:
                line = line.removeprefix(_BOM)
            if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = stream.readline(LONGEST_LINE)
                    offset += len(line)
                self.quarantine.add(str(path), number, "", f"line is longer than {LONGEST_LINE >> 20} MiB", offset=start)
                continue
            if line.strip():
                yield number, start, line

    def _parquet(self, path: Path) -> Iterator[pa.RecordBatch]:
        file = pq.ParquetFile(path)
        about = file.schema_arrow.metadata or {}
        if about.get(b"stillwatch.table") == b"calls":
            if int(about.get(b"stillwatch.version", b"0")) > int(CALLS.metadata[b"stillwatch.version"]):
                raise IntakeError("was written by a newer Stillwatch; upgrade to read it")
            for batch in file.iter_batches(self.batch_rows, columns=CALLS.names):
                yield pa.RecordBatch.from_arrays([batch.column(f.name).cast(f.type) for f in CALLS], schema=CALLS)
            return
        if not {"request_id", "startTime"} <= set(file.schema_arrow.names):
            raise IntakeError("this Parquet file is neither Stillwatch's calls nor LiteLLM_SpendLogs (no request_id and startTime columns)")
        make = RowMaker(self.identity)
        number = 0
        wanted = [n for n in file.schema_arrow.names if n in Payload.__struct_fields__]
        for batch in file.iter_batches(min(self.batch_rows, 1024), columns=wanted):
            rows = []
            for record in batch.to_pylist():
                number += 1
                try:
                    rows.append(make.row(msgspec.convert(record, Payload)))
                except Rejected as bad:
                    self.quarantine.add(str(path), number, bad.field, bad.reason)
            if rows:
                yield pa.RecordBatch.from_pylist(rows, schema=CALLS)
