"""The log formats: one class each, with ``sniff``, how to read it, and an example that one exam in the tests reads."""

from __future__ import annotations

import zlib
from typing import Final

import zstandard

from stillwatch.watch.intake.errors import IntakeError
from stillwatch.watch.intake.formats.base import EXPECTED, EXPORT, HEAD, Format, Opener, Shape, decoded, is_call, keys_told, lines_of
from stillwatch.watch.intake.formats.copytext import CopyText
from stillwatch.watch.intake.formats.csvtable import SpendTable
from stillwatch.watch.intake.formats.jsonlines import Elements, Lines
from stillwatch.watch.intake.formats.wrapped import Wrappings
from stillwatch.watch.intake.lines import GZIP, ZSTD, split
from stillwatch.watch.intake.spendlogs import COLUMNS

#: In the order in which they are asked; a line of COPY text may be JSON too, so it is asked before JSON.
FORMATS: Final[tuple[Format, ...]] = (Elements(), CopyText(), Lines(), SpendTable(), Wrappings())
#: Columns by which a table of calls is known, if not as one that can be read.
_USUAL: Final = frozenset(("id", "payload", "start_time", *map(str.lower, COLUMNS)))


def shape(name: str, head: bytes) -> Shape:
    """Return how to read the file ``name``, by its first unpacked bytes.  Raises IntakeError for anything that is no log of calls."""
    if not head.strip(b" \t\r\n\0"):
        return Shape(split)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise IntakeError(f"{name}: UTF-16 text; convert it to UTF-8")
    for form in FORMATS:
        try:
            found = form.sniff(head)
        except IntakeError as error:
            raise IntakeError(f"{name}: {error}") from None
        if found is not None:
            return found
    raise IntakeError(
        f"{name}: unknown format: {_seen(head)}; {EXPECTED}.  Give LiteLLM logs (JSON lines, a JSON array, CSV of the spend log) or Parquet"
    )


def looks_like_calls(start: bytes) -> bool:
    """Tell by the first bytes of a file as it lies on disk whether it may be a log; for files whose name says nothing."""
    try:
        if start.startswith(GZIP):
            start = zlib.decompressobj(31).decompress(start, HEAD)
        elif start.startswith(ZSTD):
            start = zstandard.ZstdDecompressor().decompressobj().decompress(start)
    except (zlib.error, zstandard.ZstdError):
        return False
    return start.startswith(b"PAR1") or (b"startTime" in start and (b"request_id" in start or b"metadata" in start))


def _seen(head: bytes) -> str:
    """What stands in a file instead of calls, without any of its values."""
    lines = lines_of(head)
    start = lines[0].strip() if lines else b""
    if start.startswith((b"[", b"{")):
        for text in (start, start.lstrip(b"[").rstrip(b",]"), head):
            value = decoded(text)
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, dict):
                return keys_told(value)
        return "JSON without a call in its first objects" if start.startswith(b"[") else "lines that begin like JSON and are none"
    cells = start.decode("utf-8", "replace").removeprefix("\ufeff")
    delimiter = max(",;\t", key=cells.count)
    names = [c.strip().strip('"') for c in cells.split(delimiter)]
    told = keys_told(dict.fromkeys(names))
    plain = {n.lower() for n in names}
    braced = any(b"{" in line for line in lines[:20])
    # Cells of a table may hold JSON, so its header is looked at first; that it is one, and no line of a log, its names must then show.
    named = told.count(",") >= 1 and not plain.isdisjoint(_USUAL) if braced else told.count(",") >= 2
    lacking = [n for n in ("request_id", "startTime") if n.lower() not in plain]
    if named and lacking:
        which = f"column{'s' if len(lacking) > 1 else ''} {' and '.join(lacking)}"
        return f"a table without the {which} ({told.replace('objects have', 'it has')}); to export one: {EXPORT}"
    if braced:
        return "text before the JSON of a line, and no call behind it"
    return "no JSON in its first lines"


__all__ = ["FORMATS", "HEAD", "Format", "Opener", "Shape", "is_call", "looks_like_calls", "shape"]
