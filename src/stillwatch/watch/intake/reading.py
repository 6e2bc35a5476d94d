"""Files -> Arrow batches of calls.  One bad line never stops a run, nor does one bad file among good ones."""

from __future__ import annotations

import glob
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.watch.intake import formats, spendlogs, tables
from stillwatch.watch.intake.clock import AHEAD, LATEST
from stillwatch.watch.intake.errors import IntakeError, RowError
from stillwatch.watch.intake.formats import HEAD, Opener
from stillwatch.watch.intake.identity import Identity
from stillwatch.watch.intake.lines import LONGEST_LINE, Block, Oversize, Source
from stillwatch.watch.intake.litellm import CallReader, NotACall
from stillwatch.watch.intake.quarantine import Quarantine
from stillwatch.watch.intake.rows import Row, batch
from stillwatch.watch.intake.tally import Tally
from stillwatch.watch.intake.withheld import NOT_STORED

_NAMES: Final = re.compile(r"\.(jsonl|json|ndjson|log)(\.gz|\.zst)?$|\.parquet$", re.IGNORECASE)
_BOM: Final = b"\xef\xbb\xbf"


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

    In directories and their sub-directories these count: .jsonl, .json, .ndjson, .log (also .gz, .zst) and .parquet, and files of any other name or none
    (a bucket's objects) that begin as logs do; hidden ones do not.
    Raises IntakeError when a pattern names no file.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        # The pattern may be absolute, which Path.glob refuses.
        hits = [path] if path.exists() else [Path(p) for p in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        files = [f for hit in hits if pattern for f in (_inside(hit) if hit.is_dir() else [hit]) if f.is_file()]
        if not files:
            raise IntakeError(f"{pattern or 'an empty name'}: no log file there; name a file, a glob or a directory that holds logs")
        for file in files:
            found.setdefault(file.resolve(), file)
    return sorted(found.values())


def _inside(directory: Path) -> list[Path]:
    return [p for p in directory.rglob("*") if not p.name.startswith(".") and (_NAMES.search(p.name) or _begins_as_a_log(p))]


def _begins_as_a_log(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return formats.looks_like_calls(file.read(HEAD))
    except OSError:  # a folder, or none of ours
        return False


@dataclass(slots=True)
class Reader:
    """Reads log files into batches of schema CALLS.

    ``batch_rows`` and ``batch_bytes`` (of prompt text) bound a batch.  ``now`` (epoch seconds) is the time of the reading: a call more than a day later
    is quarantined.  With ``by_key`` the API key is the account even where the log names a user.  ``progress`` gets the number of bytes read since its last
    call. ``reports`` (one per file), ``tally`` and ``notices`` (sentences for the run record, that on missing prompts first) fill while reading.
    """

    identity: Identity
    quarantine: Quarantine
    batch_rows: int = 8192
    batch_bytes: int = 32 << 20
    progress: Callable[[int], None] = lambda _: None
    reports: list[FileReport] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    longest_line: int = LONGEST_LINE
    now: float | None = None
    by_key: bool = False
    tally: Tally = field(default_factory=Tally)

    def read(self, files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
        """Yield batches of calls in the order of the files.  Raises IntakeError when not one of the files could be read as a log."""
        failed: list[str] = []
        calls = CallReader(self.identity, self.quarantine.repair, latest=self._latest, by_key=self.by_key)
        self.tally = calls.tally
        gathered = _Gathered(self.batch_rows, self.batch_bytes)
        for path in files:
            report = FileReport(str(path))
            self.reports.append(report)
            before = self.quarantine.count
            reason = ""
            try:
                yield from self._file(path, report, calls, gathered)
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
        yield from gathered.rest()
        self.notices[:0] = self.tally.notices(proxies_told=self.identity.proxies_told)
        self.notices += [f"{reason}: {n:,} times" for reason, n in sorted(self.quarantine.repaired.items())]
        if files and len(failed) == len(files):
            raise IntakeError("none of the files could be read as a log; give LiteLLM logs or calls in Parquet:\n" + "\n".join(failed))

    @property
    def _latest(self) -> float:
        return LATEST if self.now is None else min(LATEST, self.now + AHEAD)

    def _file(self, path: Path, report: FileReport, calls: CallReader, gathered: _Gathered) -> Iterator[pa.RecordBatch]:
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
                    yield from self._parquet(path, report, calls, gathered)
                else:
                    yield from self._lines(report, source, calls, gathered)
            finally:
                source.drain()
                report.bytes, report.sha256 = source.size, source.sha256

    def _lines(self, report: FileReport, source: Source, calls: CallReader, gathered: _Gathered) -> Iterator[pa.RecordBatch]:
        name = report.file
        chunks = source.chunks()
        head = b""
        for chunk in chunks:
            head += chunk if head else chunk.lstrip(b"\0")
            if len(head) >= HEAD:
                break
        skipped = len(_BOM) if head.startswith(_BOM) else 0
        if source.damage and not head.strip(b" \t\r\n\0"):
            raise IntakeError(f"{name}: {source.damage} from its beginning, nothing could be read; get the file again")
        shape = formats.shape(name, head[skipped:])
        rest: Iterable[bytes] = itertools.chain([head[skipped:]], chunks)
        last = 0
        for block in shape.cut(rest, source, longest=self.longest_line):
            last = block.number
            if isinstance(block, Oversize):
                excerpt = f"sha256={block.sha256} offset={block.offset + skipped} bytes={block.size}"
                self.quarantine.add_digest(name, block.number, "", f"longer than {self.longest_line:,} bytes", excerpt=excerpt)
                continue
            last += len(block.lines) - 1
            yield from self._block(report, block, skipped, calls, gathered, shape.opener)
        for phrase, times in shape.opener.finish() if shape.opener is not None else ():
            self.quarantine.repair(phrase, times)
        if source.damage:
            self.quarantine.add(name, last + 1, "", "packed file is damaged; all before this line was read", detail=source.damage)
            self.notices.append(f"{name}: {source.damage}; all up to line {last} was read, get the file again for the rest")

    def _block(
        self, report: FileReport, block: Block, skipped: int, calls: CallReader, gathered: _Gathered, opener: Opener | None = None
    ) -> Iterator[pa.RecordBatch]:
        offset = block.offset + skipped
        read = calls.row
        before = calls.tally.calls
        for number, line in enumerate(block.lines, block.number):
            try:
                if opener is None:  # nearly every file: a line is a call
                    if gathered.add(read(line), len(line)):
                        yield from gathered.rest()
                else:
                    for call in opener(line):
                        gathered.add(read(call), len(call))
                    if gathered.full:
                        yield from gathered.rest()
            except RowError as bad:
                if line.strip(b" \t\r\n\0"):  # asked here, because a blank line is never a row
                    self.quarantine.add(report.file, number, bad.field, bad.reason, raw=line, offset=offset, detail=bad.detail)
            except NotACall:
                self.tally.looked_up += 1
            offset += len(line) + 1
        report.calls += calls.tally.calls - before

    def _parquet(self, path: Path, report: FileReport, calls: CallReader, gathered: _Gathered) -> Iterator[pa.RecordBatch]:
        file = pq.ParquetFile(path)
        name = str(path)
        most = tables.rows_per_batch(file, self.batch_rows, self.batch_bytes)
        if tables.is_calls(file):
            yield from gathered.rest()  # calls keep the order of the files
            for rows in tables.read_table(file, name, most, self.quarantine, self._latest):
                report.calls += len(rows)
                without = tables.without_text(rows)
                self.tally.count(None, len(rows) - without)
                self.tally.count(NOT_STORED, without)
                yield rows
            return
        if not {"request_id", "startTime"} <= set(file.schema_arrow.names):
            found = ", ".join(file.schema_arrow.names)[:300]
            raise IntakeError(f"{path}: neither calls of Stillwatch nor LiteLLM_SpendLogs (columns: {found}); export one of these")
        number = 1
        for lines in spendlogs.parquet_lines(file, min(most, 1024)):
            yield from self._block(report, Block(number, 0, lines), 0, calls, gathered)
            number += len(lines)


class _Gathered:
    """Rows waiting for their batch."""

    def __init__(self, rows: int, size: int) -> None:
        self._most = rows
        self._most_bytes = size
        self._rows: list[Row] = []
        self._bytes = 0
        self.full = False

    def add(self, row: Row, size: int) -> bool:
        """Take a row and the bytes of its line; return True when the batch is full."""
        self._rows.append(row)
        self._bytes += size
        if self._bytes >= self._most_bytes:
            # A line is mostly reply and fields; only when the lines are too much are the texts that stay measured.
            self._bytes = sum(sum(map(len, r.segments)) + len(r.tools or "") for r in self._rows)
            self.full = self._bytes >= self._most_bytes // 2
        self.full = self.full or len(self._rows) >= self._most
        return self.full

    def rest(self) -> Iterator[pa.RecordBatch]:
        """Yield what is held as one batch, if anything."""
        if self._rows:
            made = batch(self._rows)
            self._rows, self._bytes, self.full = [], 0, False
            yield made


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
