"""The spend log as a CSV file, as database tools export it."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from stillwatch.watch.intake.errors import IntakeError, RowError
from stillwatch.watch.intake.formats.base import EXAMPLE_ROWS, EXPORT, Shape, packed
from stillwatch.watch.intake.lines import LONGEST_LINE, Block, Oversize, Source, split
from stillwatch.watch.intake.spendlogs import COLUMNS

_KNOWN: Final = {name.lower(): name for name in COLUMNS}
_NEEDED: Final = frozenset(("request_id", "starttime"))
_COUNTS: Final = frozenset(("prompt_tokens", "completion_tokens"))
_TRUTH: Final = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def records(chunks: Iterable[bytes], source: Source, *, longest: int = LONGEST_LINE) -> Iterator[Block | Oversize]:
    """Yield the records of a CSV file: a line break between quotation marks is part of its record."""
    held: list[bytes] = []
    size = quotes = number = offset = 0
    for block in split(chunks, source, longest=longest):
        if isinstance(block, Oversize):
            held, size, quotes = [], 0, 0
            yield block
            continue
        at = block.offset
        for line_number, line in enumerate(block.lines, block.number):
            if not held:
                number, offset = line_number, at
            held.append(line)
            size += len(line) + 1
            quotes += line.count(b'"')
            at += len(line) + 1
            if quotes % 2 == 0:
                yield Block(number, offset, [b"\n".join(held)])
                held, size, quotes = [], 0, 0
            elif size > longest:
                whole = b"\n".join(held)
                yield Oversize(number, offset, len(whole), hashlib.sha256(whole).hexdigest())
                held, size, quotes = [], 0, 0
    if held and source.damage is None:
        yield Block(number, offset, [b"\n".join(held)])


class Rows:
    """Makes JSON of the records; the first is the header."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._names: list[str | None] | None = None

    def __call__(self, line: bytes) -> list[bytes]:
        """Return the row of a record (see ``base.Opener``)."""
        if not line.strip():
            return []
        csv.field_size_limit(LONGEST_LINE)  # the accounts file has a limit of its own
        try:
            cells = next(csv.reader([line.rstrip(b"\r").decode("utf-8", "replace")], delimiter=self._delimiter, strict=True))
        except (csv.Error, StopIteration):
            raise RowError("", "not a CSV row") from None
        if self._names is None:
            self._names = [_KNOWN.get(cell.strip().lower()) for cell in cells]
            return []
        if len(cells) != len(self._names):
            raise RowError("", "not as many cells as the header has", f"{len(cells)} for {len(self._names)}")
        row: dict[str, object] = {}
        for name, cell in zip(self._names, cells, strict=True):
            if name is None or cell in ("", "NULL", "\\N"):
                continue
            if name in _COUNTS:
                row[name] = int(cell) if cell.isdecimal() and len(cell) < 16 else None
            elif name == "stream":
                row[name] = _TRUTH.get(cell.lower())
            else:
                row[name] = cell
        return [packed(row).encode("utf-8", "replace")]

    def finish(self) -> Iterable[tuple[str, int]]:
        """Return nothing (see ``base.Opener``)."""
        return ()


class SpendTable:
    """A CSV export of LiteLLM_SpendLogs, with its header."""

    name = "LiteLLM_SpendLogs as CSV"

    def sniff(self, head: bytes) -> Shape | None:
        """Tell by the first lines (see ``base.Format``)."""
        first = head.lstrip(b"\r\n").split(b"\n", 1)[0].strip().decode("utf-8", "replace")
        delimiter = max(",;\t", key=first.count)
        if delimiter not in first or first[:1] in "{[":
            return None
        names = {cell.strip().strip('"').lower() for cell in first.split(delimiter)}
        if not names >= _NEEDED:
            return None
        if delimiter == "\t":
            raise IntakeError(
                f"a table with tabs between its columns, whose escapes are not known; export CSV or JSON, for example with {EXPORT}"
            )
        return Shape(records, Rows(delimiter))

    def examples(self) -> tuple[bytes, ...]:
        """Return one example (see ``base.Format``)."""
        names = list(EXAMPLE_ROWS[0])
        lines = [",".join(names)]
        for row in EXAMPLE_ROWS:
            cells = [v if isinstance(v, str) else packed(v) for v in row.values()]
            lines.append(",".join('"' + cell.replace('"', '""') + '"' for cell in cells))
        return ("\r\n".join(lines).encode() + b"\r\n",)
