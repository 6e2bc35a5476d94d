"""Rows of the spend log as ``COPY (SELECT row_to_json(t) ...) TO`` writes them: JSON in which every backslash is doubled.

Such a line looks like JSON.  Where a prompt has a quotation mark it is none; where it has a line break it is read as the characters backslash and n,
and nothing tells.  So the first lines that can be JSON only one way decide for the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from stillwatch.watch.intake.formats.base import EXAMPLE_ROWS, Shape, fields, lines_of, packed
from stillwatch.watch.intake.lines import split

UNDONE: Final = "lines of PostgreSQL's COPY text, their backslashes undone"
_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_ODD: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\(?!\\)")
_CONTROL: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_END: Final = b"\\."


def undo(line: bytes) -> bytes:
    r"""Undo the escapes of COPY text.

    >>> undo(rb'{"a": "say \\"x\\"\\n"}')
    b'{"a": "say \\"x\\"\\n"}'
    """
    return _ESCAPE.sub(_plain, line)


def _plain(found: re.Match[bytes]) -> bytes:
    sign = found[1]
    if sign in _CONTROL:
        return _CONTROL[sign]
    if sign[:1] == b"x" and len(sign) > 1:
        return bytes([int(sign[1:], 16)])
    if sign.isdigit():
        return bytes([int(sign, 8) & 255])
    return sign


def _row(line: bytes) -> bool:
    try:
        return fields(line).keys() >= {"request_id", "startTime"}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def told_by(line: bytes) -> bool | None:
    """Return True for a line that is COPY text, False for one that is JSON as it stands, None where it may be either."""
    if b"\\" not in line:
        return None
    if line.strip() == _END:
        return True
    as_it_is, undone = _row(line), _row(undo(line))
    if as_it_is != undone:
        return undone
    return False if as_it_is and _ODD.search(line) else None


class Undoing:
    """Undoes the escapes once it is sure of them, and where nothing speaks against them."""

    def __init__(self, sure: bool | None) -> None:
        self._sure = sure
        self._undone = 0

    def __call__(self, line: bytes) -> list[bytes]:
        """Return the row in a line (see ``base.Opener``)."""
        if self._sure is False or b"\\" not in line:
            return [line]
        if self._sure is None:
            self._sure = told_by(line)
            if self._sure is False:
                return [line]
        if line.strip() == _END:
            return []
        self._undone += 1
        return [undo(line)]

    def finish(self) -> Iterable[tuple[str, int]]:
        """Return how many lines were undone (see ``base.Opener``)."""
        return ((UNDONE, self._undone),)


class CopyText:
    """COPY text of JSON rows."""

    name = "PostgreSQL COPY text"

    def sniff(self, head: bytes) -> Shape | None:
        """Tell by the first lines (see ``base.Format``)."""
        lines = lines_of(head)
        if b'"request_id"' not in head or not any(_row(line) or _row(undo(line)) for line in lines[:20]):
            return None
        found = {told_by(line) for line in lines}
        # The last line may be cut, and a cut line says nothing: it is no JSON either way.
        sure = False if False in found else True if True in found else None
        return None if sure is False else Shape(split, Undoing(sure))

    def examples(self) -> tuple[bytes, ...]:
        """Return one example (see ``base.Format``)."""
        return ("\n".join(packed(row).replace("\\", "\\\\") for row in EXAMPLE_ROWS).encode() + b"\n\\.\n",)
