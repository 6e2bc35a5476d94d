"""A file of rows (CSV or Parquet) -> the known columns as lists of cells, each with the line it stands on.

No message of this file holds anything of a cell: what lies in an accounts file is customers' data.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.watch.intake.columns import Layout, layout
from stillwatch.watch.intake.errors import IntakeError
from stillwatch.watch.intake.lines import Source
from stillwatch.watch.intake.quarantine import Quarantine

_LONGEST_CELL: Final = 1 << 20
_SAVE: Final = "save it as CSV in UTF-8"
#: What files of other kinds begin with, and what to do with them.
_OTHER_KINDS: Final = (
    (b"\xff\xfe\0\0", "UTF-32 text; convert it to UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32 text; convert it to UTF-8"),
    (b"\xff\xfe", "UTF-16 text; convert it to UTF-8"),
    (b"\xfe\xff", "UTF-16 text; convert it to UTF-8"),
    (b"PK\x03\x04", f"a spreadsheet or a zip archive, not CSV; {_SAVE}, or unpack it"),
    (b"\xd0\xcf\x11\xe0", f"a spreadsheet, not CSV; {_SAVE}"),
    (b"SQLite format 3", "an SQLite database, not CSV; export the table as CSV"),
    (b"ARROW1", "an Arrow file, not CSV; write it as Parquet"),
    (b"Obj\x01", "an Avro file, not CSV; write it as Parquet"),
    (b"ORC", "an ORC file, not CSV; write it as Parquet"),
    (b"%PDF", f"a PDF, not CSV; {_SAVE}"),
    (b"BZh", "packed with bzip2; unpack it, or pack it with gzip or zstd"),
    (b"\xfd7zXZ", "packed with xz; unpack it, or pack it with gzip or zstd"),
)
_JSON: Final = re.compile(rb'\s*(?:\{|\[\s*[\[{"\]\d-])')
_MARKUP: Final = re.compile(rb"\s*<(?:\?xml|!doctype|html|table|[a-z]+[\s>])", re.IGNORECASE)
_SEPARATOR: Final = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


@dataclass(slots=True)
class Sheet:
    """Cells of the known columns; ``lines`` [rows] are where each row ends in the file, of Parquet its number from 1."""

    layout: Layout
    lines: list[int] = field(default_factory=list)
    cells: dict[str, list[object]] = field(default_factory=dict)
    lost: int = 0  # rows that are no rows
    damage: str = ""  # of the packed file

    @classmethod
    def of(cls, at: Layout) -> Sheet:
        """A sheet without rows."""
        return cls(at, cells={known: [] for known in at.place})


def read_sheet(path: Path, columns: Mapping[str, str], quarantine: Quarantine) -> Sheet:
    """Read the known columns (see ``columns.layout``) of a CSV (comma, semicolon, tab or bar; also .gz, .zst) or Parquet file.

    Raises IntakeError when the file cannot be read, is of another kind, or has no column of accounts.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(4) == b"PAR1"
        return _parquet(path, columns) if packed else _csv(path, columns, quarantine)
    except OSError as error:
        raise IntakeError(f"{path}: cannot be read ({error.strerror or type(error).__name__}); name a readable accounts file") from error
    except (pa.ArrowException, csv.Error) as error:
        raise IntakeError(f"{path}: cannot be read as an accounts file ({type(error).__name__}); give CSV or Parquet") from error


def _csv(path: Path, columns: Mapping[str, str], quarantine: Quarantine) -> Sheet:
    with path.open("rb") as file:
        source = Source(file, lambda _: None)
        raw = b"".join(source.chunks())
    if source.damage:
        quarantine.add(str(path), None, "", "packed file is damaged; what came before was read", detail=source.damage)
    _must_be_text(path, raw)
    text = raw.decode("utf-8-sig", "replace").replace("\0", "")
    if "\ufffd" in text:
        quarantine.repair("accounts: invalid UTF-8 replaced")
    told = _SEPARATOR.match(text)
    head = text[told.end() :] if told else text
    head = head.lstrip("\r\n").split("\n", 1)[0]
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=told[1] if told else max(",;\t|", key=head.count))
    if told:
        next(reader)
    made: Sheet | None = None
    width = lost = 0
    for line, row in _rows(path, reader, quarantine):
        if row is None:
            lost += 1
        elif made is None:
            made, width = Sheet.of(layout(path, row, columns)), len(row)
            picked = [(made.cells[known], at) for known, at in made.layout.place.items()]
        elif len(row) > width and any(c.strip() for c in row[width:]):
            quarantine.add(str(path), line, "", "more cells than the header has", detail=f"{len(row)} for {width}")
            lost += 1
        else:
            made.lines.append(line)
            for cells, at in picked:
                cells.append(row[at] if at < len(row) else None)
    made = made or Sheet.of(layout(path, [], columns))
    made.lost, made.damage = lost, source.damage or ""
    return made


def _rows(path: Path, reader: csv._reader, quarantine: Quarantine) -> Iterator[tuple[int, list[str] | None]]:  # type: ignore[name-defined]
    """Rows that hold anything; None for one that is no row."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            quarantine.add(str(path), reader.line_num, "", "not a CSV row")
            yield reader.line_num, None
            continue
        if any(c.strip() for c in cells):
            yield reader.line_num, cells


def _must_be_text(path: Path, raw: bytes) -> None:
    for magic, told in _OTHER_KINDS:
        if raw.startswith(magic):
            raise IntakeError(f"{path}: {told}")
    head = raw[:4096]
    if len(head) > 3 and head.count(0) > 0.3 * len(head):  # every other byte of Latin text in UTF-16 is 0
        raise IntakeError(f"{path}: UTF-16 text or not text at all; give CSV in UTF-8, or Parquet")
    if _JSON.match(head.removeprefix(b"\xef\xbb\xbf")):
        raise IntakeError(f"{path}: JSON, not CSV; export the sign-up records as CSV with a header line, or as Parquet")
    if _MARKUP.match(head.removeprefix(b"\xef\xbb\xbf")):
        raise IntakeError(f"{path}: XML or HTML, not CSV; export the sign-up records as CSV with a header line, or as Parquet")


def _parquet(path: Path, columns: Mapping[str, str]) -> Sheet:
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    made = Sheet.of(layout(path, names, columns))
    wanted = sorted({names[at] for at in made.layout.place.values()})
    for batch in file.iter_batches(columns=wanted):
        made.lines += range(len(made.lines) + 1, len(made.lines) + 1 + batch.num_rows)
        for known, at in made.layout.place.items():
            column = batch.column(batch.schema.get_field_index(names[at]))
            if pa.types.is_timestamp(column.type):
                column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
            made.cells[known] += column.to_pylist()
    return made
