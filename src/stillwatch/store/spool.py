"""The spool of one run: sketches and texts on disk, so that memory does not grow with the log.

The folder holds customers' prompts in clear.  It is made with mode 0700 and removed when the run ends, whichever way it ends.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.records import CALLS, SKETCHES

_TEXTS: Final = pa.schema([pa.field("call", pa.int64()), CALLS.field("roles"), CALLS.field("segments")])
_ABOUT: Final = pa.schema([CALLS.field(n) for n in ("account", "mail_ref", "mail_domain_ref", "mail_shape")])


class Spool:
    """Write batches while reading the log, then read sketches back as a file and single texts by call number."""

    def __init__(self, beside: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=".spool-", dir=beside))
        self.sketches = self.folder / "sketches.parquet"
        self._texts = self.folder / "texts.parquet"
        self._sketch_file = pq.ParquetWriter(
            self.sketches, SKETCHES, compression="zstd", compression_level=1, use_dictionary=["account", "model"]
        )
        self._text_file = pq.ParquetWriter(self._texts, _TEXTS, compression="zstd", compression_level=1, use_dictionary=False)
        self._mail: dict[str, tuple[str | None, str | None, str | None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.finish()
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, calls: pa.RecordBatch, sketches: pa.RecordBatch) -> None:
        """Append one batch of ``records.CALLS`` with its ``records.SKETCHES``."""
        self._sketch_file.write_batch(sketches)
        self._text_file.write_batch(
            pa.RecordBatch.from_arrays([sketches.column("call"), calls.column("roles"), calls.column("segments")], schema=_TEXTS)
        )
        about = pa.Table.from_batches([calls.select(_ABOUT.names)]).filter(pc.is_valid(calls.column("mail_ref")))
        for row in about.group_by(_ABOUT.names).aggregate([]).to_pylist():
            self._mail.setdefault(row["account"], (row["mail_ref"], row["mail_domain_ref"], row["mail_shape"]))

    def finish(self) -> None:
        """Close the files for writing; harmless when repeated."""
        self._sketch_file.close()
        self._text_file.close()

    def mail(self) -> dict[str, tuple[str | None, str | None, str | None]]:
        """account -> (mail_ref, mail_domain_ref, mail_shape) as the log itself names them."""
        return self._mail

    def texts(self, calls: Iterable[int]) -> dict[int, list[tuple[str, str]]]:
        """call number -> [(role, text), ...] for a few calls; reads only the row groups that hold them."""
        wanted = sorted(set(calls))
        if not wanted:
            return {}
        file = pq.ParquetFile(self._texts)
        found: dict[int, list[tuple[str, str]]] = {}
        for group in range(file.num_row_groups):
            stats = file.metadata.row_group(group).column(0).statistics
            here = [c for c in wanted if stats.min <= c <= stats.max]
            if not here:
                continue
            rows = file.read_row_group(group).filter(pc.field("call").isin(here))
            for row in rows.to_pylist():
                found[row["call"]] = list(zip(row["roles"], row["segments"], strict=True))
        return found
