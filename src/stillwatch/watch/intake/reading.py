"""Files -> Arrow batches of calls.  One bad line never stops a run, nor does one bad file among good ones."""

from __future__ import annotations

import glob
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.watch.intake import spendlogs, tables
from stillwatch.watch.intake.errors import IntakeError, RowError
from stillwatch.watch.intake.identity import Identity
from stillwatch.watch.intake.lines import LONGEST_LINE, Block, Oversize, Source, elements, split
from stillwatch.watch.intake.litellm import CallReader
from stillwatch.watch.intake.quarantine import Quarantine
from stillwatch.watch.intake.rows import Row, batch

_NAMES: Final = re.compile(r"\.(jsonl|json|ndjson|log)(\.gz|\.zst)?$|\.parquet$", re.IGNORECASE)
_HEAD: Final = 1 << 16
_BOM: Final = b"\xef\xbb\xbf"
#: Keys that only a LiteLLM call has; one of them in the first lines tells the format.
_CALL_KEYS: Final = frozenset(("startTime", "request_id", "litellm_call_id", "model_parameters", "custom_llm_provider"))


@dataclass(slots=True)
class FileReport:
    """What became of one file; ``bytes`` and ``sha256`` are of the file as it lies on disk."""

    file: str
    bytes: int = 0
    sha256: str = ""
    calls: int = 0
    rejected: int = 0


def expand(patterns: Sequence[str]) -> list[Path]:
    """Return the files that paths, globs (also ``**``) and directories name, sorted, each once.

    In directories and their sub-directories these count: .jsonl, .json, .ndjson, .log (also .gz, .zst) and .parquet, unless hidden.
    Raises IntakeError when a pattern names no file.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        # The pattern may be absolute, which Path.glob refuses.
        hits = [path] if path.exists() else [Path(p) for p in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        files = [f for hit in hits for f in (_inside(hit) if hit.is_dir() else [hit]) if f.is_file()]
        if not files:
            raise IntakeError(
                f"{pattern}: no log file there; name a file, a glob or a directory that holds .jsonl, .json, .log or .parquet files"
            )
        for file in files:
            found.setdefault(file.resolve(), file)
    return sorted(found.values())


def _inside(directory: Path) -> list[Path]:
    return [p for p in directory.rglob("*") if _NAMES.search(p.name) and not p.name.startswith(".")]


@dataclass(slots=True)
class Reader:
    """Reads log files into batches of schema CALLS.

    ``batch_rows`` and ``batch_bytes`` (of prompt text) bound a batch.  ``progress`` gets the number of bytes read since its last call.
    ``reports`` (one per file) and ``notices`` (sentences for the run record) fill while reading.
    """

    identity: Identity
    quarantine: Quarantine
    batch_rows: int = 8192
    batch_bytes: int = 32 << 20
    progress: Callable[[int], None] = lambda _: None
    reports: list[FileReport] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    longest_line: int = LONGEST_LINE

    def read(self, files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
        """Yield batches, file after file.  Raises IntakeError when not one of the files could be read as a log."""
        failed: list[str] = []
        calls = CallReader(self.identity, self.quarantine.repair)
        for path in files:
            report = FileReport(str(path))
            self.reports.append(report)
            before = self.quarantine.count
            reason = ""
            try:
                for rows in self._file(path, report, calls):
                    report.calls += len(rows)
                    yield rows
            except IntakeError as error:
                reason = str(error)
            except OSError as error:
                reason = f"{path}: cannot be read ({error.strerror or type(error).__name__})"
            except pa.ArrowException as error:
                reason = f"{path}: damaged or not Parquet ({type(error).__name__})"
            if reason:
                self.quarantine.add(str(path), None, "", "file cannot be read", detail=reason.removeprefix(f"{path}: "))
                self.notices.append(reason)
                failed.append(reason)
            report.rejected = self.quarantine.count - before
            if not report.calls and not report.rejected:
                self.notices.append(f"{path}: holds no calls")
        self.notices += [f"{reason}: {n:,} times" for reason, n in sorted(self.quarantine.repaired.items())]
        if files and len(failed) == len(files):
            raise IntakeError("none of the files could be read as a log; give LiteLLM logs or calls in Parquet:\n" + "\n".join(failed))

    def _file(self, path: Path, report: FileReport, calls: CallReader) -> Iterator[pa.RecordBatch]:
        told = 0

        def progress(size: int) -> None:
            nonlocal told
            self.progress(size - told)
            told = size

        with path.open("rb") as file:
            parquet = file.read(4) == b"PAR1"
            file.seek(0)
            source = Source(file, progress)
            try:
                if parquet:
                    # Parquet is read from its end, so its digest takes a reading of its own.
                    source.drain()
                    yield from self._parquet(path, calls)
                else:
                    yield from self._lines(str(path), source, calls)
            finally:
                source.drain()
                report.bytes, report.sha256 = source.size, source.sha256

    def _lines(self, name: str, source: Source, calls: CallReader) -> Iterator[pa.RecordBatch]:
        chunks = source.chunks()
        head = b""
        for chunk in chunks:
            head += chunk if head else chunk.lstrip(b"\0")
            if len(head) >= _HEAD:
                break
        skipped = len(_BOM) if head.startswith(_BOM) else 0
        cut = _form(name, head[skipped:])
        rest: Iterable[bytes] = itertools.chain([head[skipped:]], chunks)
        last = 0
        gathered = _Gathered(self.batch_rows, self.batch_bytes)
        for block in cut(rest, source, longest=self.longest_line):
            last = block.number
            if isinstance(block, Oversize):
                excerpt = f"sha256={block.sha256} offset={block.offset + skipped} bytes={block.size}"
                self.quarantine.add_digest(name, block.number, "", f"longer than {self.longest_line:,} bytes", excerpt=excerpt)
                continue
            last += len(block.lines) - 1
            yield from self._block(name, block, skipped, calls, gathered)
        yield from gathered.rest()
        if source.damage:
            self.quarantine.add(name, last + 1, "", "packed file is damaged; all before this line was read", detail=source.damage)
            self.notices.append(f"{name}: {source.damage}; all up to line {last} was read, get the file again for the rest")

    def _block(self, name: str, block: Block, skipped: int, calls: CallReader, gathered: _Gathered) -> Iterator[pa.RecordBatch]:
        offset = block.offset + skipped
        read = calls.row
        for number, line in enumerate(block.lines, block.number):
            try:
                row = read(line)
            except RowError as bad:
                if line.strip(b" \t\r\n\0"):  # asked here, because a blank line is never a row
                    self.quarantine.add(name, number, bad.field, bad.reason, raw=line, offset=offset, detail=bad.detail)
            else:
                if gathered.add(row, len(line)):
                    yield from gathered.rest()
            offset += len(line) + 1

    def _parquet(self, path: Path, calls: CallReader) -> Iterator[pa.RecordBatch]:
        file = pq.ParquetFile(path)
        name = str(path)
        most = tables.rows_per_batch(file, self.batch_rows, self.batch_bytes)
        if tables.is_calls(file):
            yield from tables.read_table(file, name, most, self.quarantine)
            return
        if not {"request_id", "startTime"} <= set(file.schema_arrow.names):
            found = ", ".join(file.schema_arrow.names)[:300]
            raise IntakeError(f"{path}: neither calls of Stillwatch nor LiteLLM_SpendLogs (columns: {found}); export one of these")
        gathered = _Gathered(self.batch_rows, self.batch_bytes)
        number = 1
        for lines in spendlogs.parquet_lines(file, min(most, 1024)):
            yield from self._block(name, Block(number, 0, lines), 0, calls, gathered)
            number += len(lines)
        yield from gathered.rest()


class _Gathered:
    """Rows waiting for their batch."""

    def __init__(self, rows: int, size: int) -> None:
        self._most = rows
        self._most_bytes = size
        self._rows: list[Row] = []
        self._bytes = 0

    def add(self, row: Row, size: int) -> bool:
        """Take a row and the bytes of its line; return True when the batch is full."""
        self._rows.append(row)
        self._bytes += size
        if self._bytes >= self._most_bytes:
            # A line is mostly reply and fields; only when the lines are too much are the texts that stay measured.
            self._bytes = sum(sum(map(len, r.segments)) + len(r.tools or "") for r in self._rows)
            if self._bytes >= self._most_bytes // 2:
                return True
        return len(self._rows) >= self._most

    def rest(self) -> Iterator[pa.RecordBatch]:
        """Yield what is held as one batch, if anything."""
        if self._rows:
            made = batch(self._rows)
            self._rows, self._bytes = [], 0
            yield made


def _form(name: str, head: bytes) -> Callable[..., Iterator[Block | Oversize]]:
    """Return how to cut a file into objects, by its first bytes.  Raises IntakeError for anything that is no log of calls."""
    start = head.lstrip(b" \t\r\n\0")
    if not start or start.startswith(b"[") or re.match(rb"\{[ \t]*\r?\n", start):
        if start and not any(b'"' + key.encode() + b'"' in start for key in _CALL_KEYS) and len(head) < _HEAD:
            raise IntakeError(f"{name}: JSON, but not of LiteLLM's calls; export StandardLoggingPayload lines or LiteLLM_SpendLogs rows")
        return elements if start else split
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise IntakeError(f"{name}: UTF-16 text; convert it to UTF-8")
    lines = [line for line in head.split(b"\n") if line.strip(b" \t\r\0")]
    for line in lines:
        try:
            value = json.loads(line.replace(b"\0", b"").decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and _CALL_KEYS & value.keys():
            return split
    # A first line longer than the head cannot be judged here; each line will be.
    if start.startswith(b"{") and len(lines) == 1 and len(head) >= _HEAD:
        return split
    raise IntakeError(f"{name}: unknown format; give LiteLLM logs (JSON lines, a JSON array, also packed with gzip or zstd) or Parquet")


def read_calls(
    files: Sequence[Path],
    identity: Identity,
    quarantine: Quarantine,
    *,
    batch_rows: int = 8192,
    batch_bytes: int = 32 << 20,
    progress: Callable[[Path, int], None] | None = None,
    reports: list[FileReport] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield batches of schema CALLS; ``progress`` gets a file and the bytes read of it so far, ``reports`` is filled file by file.

    Raises IntakeError when not one of the files could be read as a log.
    """
    reader = Reader(identity, quarantine, batch_rows, batch_bytes, reports=[] if reports is None else reports)
    read: Counter[str] = Counter()

    def told(more: int) -> None:
        file = reader.reports[-1].file
        read[file] += more
        if progress is not None:
            progress(Path(file), read[file])

    reader.progress = told
    yield from reader.read(files)


__all__ = ["FileReport", "Reader", "expand", "read_calls"]
