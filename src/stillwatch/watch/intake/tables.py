"""Calls in Stillwatch's own Parquet schema, recognised by the schema's metadata and not by the file's name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.records import CALLS
from stillwatch.watch.intake.clock import EARLIEST, FUTURE, LATEST, OUT_OF_RANGE
from stillwatch.watch.intake.errors import IntakeError
from stillwatch.watch.intake.quarantine import Quarantine

_TABLE: Final = b"stillwatch.table"
_VERSION: Final = b"stillwatch.version"


def is_calls(file: pq.ParquetFile) -> bool:
    """Tell whether a Parquet file says that it holds our calls."""
    return (file.schema_arrow.metadata or {}).get(_TABLE) == b"calls"


def rows_per_batch(file: pq.ParquetFile, batch_rows: int, batch_bytes: int) -> int:
    """Return how many rows of this file fit ``batch_bytes`` by the average of its largest row group."""
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    widest = max((g.total_byte_size / max(1, g.num_rows) for g in groups), default=1.0)
    return max(1, min(batch_rows, int(batch_bytes / max(1.0, widest))))


def read_table(file: pq.ParquetFile, name: str, rows: int, quarantine: Quarantine, latest: float = LATEST) -> Iterator[pa.RecordBatch]:
    """Yield batches of schema CALLS; to quarantine go rows without an id, an account, segments or a time from 2015 to ``latest``, and those whose
    ``roles`` and ``segments`` are not of one length or hold nulls.

    Raises IntakeError for a file of a newer version, or one that lacks a column which may not be empty or has one of another type.
    """
    about = file.schema_arrow.metadata or {}
    version, ours = about.get(_VERSION, b"0"), CALLS.metadata[_VERSION]
    if not version.isdigit() or int(version) > int(ours):
        told = version.decode("utf-8", "replace")
        raise IntakeError(f"{name}: calls of version {told}, this Stillwatch reads up to {ours.decode()}; update Stillwatch")
    have = set(file.schema_arrow.names)
    missing = [f.name for f in CALLS if not f.nullable and f.name not in have]
    if missing:
        raise IntakeError(f"{name}: no column {', '.join(missing)}; write the file again with all columns that may not be empty")
    row = 0
    for batch in file.iter_batches(rows, columns=[n for n in CALLS.names if n in have]):
        columns = []
        for field in CALLS:
            if field.name not in have:
                columns.append(pa.nulls(len(batch), field.type))
                continue
            try:
                columns.append(batch.column(field.name).cast(field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise IntakeError(f"{name}: column {field.name} is no {field.type}; write it as {field.type}") from error
        # The cast column may hold nulls until they are sorted out, so the schema's promise is given only afterwards.
        table = dict(zip(CALLS.names, columns, strict=True))
        tests = [(f.name, "missing", pc.is_valid(table[f.name])) for f in CALLS if not f.nullable]
        tests += [
            (f.name, "missing", pc.fill_null(pc.not_equal(table[f.name], ""), False))
            for f in CALLS
            if not f.nullable and pa.types.is_string(f.type)
        ]
        tests.append(
            ("at", OUT_OF_RANGE, pc.fill_null(pc.and_(pc.greater_equal(table["at"], EARLIEST), pc.less(table["at"], LATEST)), False))
        )
        tests.append(("at", FUTURE, pc.fill_null(pc.or_(pc.less(table["at"], latest), pc.greater_equal(table["at"], LATEST)), False)))
        same = pc.equal(pc.list_value_length(table["roles"]), pc.list_value_length(table["segments"]))
        tests.append(("segments", "not as many as roles", pc.fill_null(same, False)))
        tests += [(n, "missing in the list", _whole(table[n])) for n in ("roles", "segments")]
        good = pa.array([True] * len(batch))
        for field_name, reason, fine in tests:
            for i in pc.indices_nonzero(pc.and_(good, pc.invert(fine))).to_pylist():
                quarantine.add(name, row + i + 1, field_name, reason)
            good = pc.and_(good, fine)
        row += len(batch)
        # Filtering also cuts off list values that stand before or after these rows, which the kernel would count.
        whole = pa.RecordBatch.from_arrays([c.filter(good) for c in columns], schema=CALLS)
        if len(whole):
            yield whole


def _whole(lists: pa.Array) -> pa.Array:
    """[rows] whether a list holds no null."""
    holes = pc.list_parent_indices(lists).filter(pc.is_null(pc.list_flatten(lists)))
    return pc.invert(pc.is_in(pa.array(range(len(lists)), pa.int64()), value_set=holes.cast(pa.int64())))


def without_text(calls: pa.RecordBatch) -> int:
    """Return how many calls have no text, or an empty user text that says it is not known."""
    sizes = pc.binary_length(pc.list_flatten(calls.column("segments")))
    full = pc.list_parent_indices(calls.column("segments")).filter(pc.greater(sizes, 0))
    empty = pc.list_parent_indices(calls.column("segments")).filter(pc.equal(sizes, 0))
    return int(len(calls) - len(set(full.unique().to_pylist()) - set(empty.unique().to_pylist())))
