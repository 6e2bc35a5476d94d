"""Calls inside what carried them: a container's log file, a log shipper's envelope, a prefix before the JSON.

Docker writes ``{"log": "...", "stream": ..., "time": ...}`` and cuts long lines in pieces, the first of which have no line break at their end; a
kubelet writes ``TIME stdout F ...`` with ``P`` for a piece; shippers put the line into a field among their own.  A call is taken only where a whole
field, or the whole rest of a line, is one: what a program prints in the middle of a sentence may be a client's words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from stillwatch.watch.intake.errors import RowError
from stillwatch.watch.intake.formats.base import EXAMPLE, HEAD, Shape, fields, is_call, lines_of, packed
from stillwatch.watch.intake.lines import LONGEST_LINE, split
from stillwatch.watch.intake.mending import NOT_JSON, shallow

#: Fields in which shippers carry a line, in the order in which they are tried.
NAMES: Final = (
    "log", "message", "msg", "MESSAGE", "line", "body", "event", "payload", "textPayload", "jsonPayload", "_raw", "raw", "record", "records", "Records",
    "logEvents", "data", "value", "json", "result", "_source", "content",
)  # fmt: skip
_KUBELET: Final = re.compile(rb"\S+ (stdout|stderr) ([FP])(?: |$)")
_LONGEST_PREFIX: Final = 256
_DEEPEST: Final = 4
OTHER: Final = "lines around the calls that hold none, left out"
UNFINISHED: Final = "pieces of a line whose end is missing, left out"


class Wrapped:
    """Opens wrapped lines; puts pieces together, each output of the container by itself."""

    def __init__(self) -> None:
        self.pieces: dict[bytes, list[bytes]] = {}
        self._held = 0
        self._other = 0

    def __call__(self, line: bytes) -> list[bytes]:
        """Return the calls in a line (see ``base.Opener``)."""
        try:
            return self._open(line)
        except RecursionError:
            return self._open(shallow(line))

    def _open(self, line: bytes) -> list[bytes]:
        line = line.strip(b" \t\r\n\0")
        if not line:
            return []
        if (kubelet := _KUBELET.match(line)) is not None:
            return self._piece(kubelet[1], line[kubelet.end() :], whole=kubelet[2] == b"F")
        if line.startswith(b"{"):
            try:
                found = fields(line)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return [line]  # whoever reads it mends it or says what is wrong
            log, stream = bytes(found.get("log", b"")), found.get("stream")
            if log[:1] == b'"' and stream is not None:
                piece = _text(log)
                whole = piece.endswith(b"\n") or (piece.endswith(b"}") and _is_json(b"".join([*self.pieces.get(bytes(stream), ()), piece])))
                return self._piece(bytes(stream), piece, whole=whole)
        return self._counted(_calls(line, 0))

    def finish(self) -> Iterable[tuple[str, int]]:
        """Return what was left out (see ``base.Opener``)."""
        return ((OTHER, self._other), (UNFINISHED, sum(map(len, self.pieces.values()))))

    def _piece(self, stream: bytes, piece: bytes, *, whole: bool) -> list[bytes]:
        held = self.pieces.get(stream, [])
        if not whole:
            self._held += len(piece)
            if self._held > LONGEST_LINE:
                self.pieces, self._held = {}, 0
                raise RowError("", "pieces of a line that never ends")
            self.pieces.setdefault(stream, []).append(piece)
            return []
        if held:
            piece = b"".join([*held, piece])
            del self.pieces[stream]
            self._held = max(0, self._held - len(piece))
        return self._counted(_calls(piece, 0))

    def _counted(self, calls: list[bytes]) -> list[bytes]:
        if not calls:
            self._other += 1
        return calls


def opens(lines: Iterable[bytes]) -> bool:
    """Tell whether one of the lines holds a wrapped call, or a piece of one."""
    opener = Wrapped()
    for line in lines:
        try:
            if any(_is_json(call) for call in opener(line)):
                return True
        except RowError:
            continue
    return any(b'"startTime"' in b"".join(pieces) for pieces in opener.pieces.values())


def _text(raw: bytes) -> bytes:
    try:
        return msgspec.json.decode(raw, type=str).encode()
    except (msgspec.DecodeError, UnicodeError):
        pass
    try:
        return str(json.loads(raw.decode("utf-8", "replace"))).encode("utf-8", "replace")
    except ValueError:
        raise RowError("", NOT_JSON) from None


def _is_json(text: bytes) -> bool:
    try:
        fields(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _calls(text: bytes, depth: int) -> list[bytes]:
    """The calls that a text is, or carries."""
    brace = text.find(b"{", 0, _LONGEST_PREFIX)
    if brace < 0 or (brace and b'"' in text[:brace]):
        return []
    text = text[brace:].strip()
    try:
        found = fields(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # A call that cannot be read as it stands goes on to where it is mended or quarantined.
        return [text] if b'"startTime"' in text and text.endswith(b"}") and text.startswith((b'{"id"', b'{"request_id"')) else []
    return _inside(text, found, depth)


def _inside(text: bytes, found: dict[str, msgspec.Raw], depth: int) -> list[bytes]:
    if is_call(found):
        return [text]
    for name in NAMES if depth < _DEEPEST else ():
        raw = bytes(found.get(name, b"")).strip()
        if raw[:1] == b'"':
            calls = _calls(_text(raw), depth + 1)
        elif raw[:1] == b"{":
            calls = _inside(raw, fields(raw), depth + 1)
        elif raw[:1] == b"[":
            items = [bytes(item).strip() for item in msgspec.json.decode(raw, type=list[msgspec.Raw])]
            calls = [c for item in items if item[:1] == b"{" for c in _inside(item, fields(item), depth + 1)]
        else:
            continue
        if calls:
            return calls
    return []


class Wrappings:
    """Docker's json-file log, a pod's log, a shipper's envelope, JSON behind a prefix."""

    name = "wrapped lines"

    def sniff(self, head: bytes) -> Shape | None:
        """Tell by the first lines (see ``base.Format``)."""
        lines = lines_of(head)
        # A first line longer than the head cannot be judged; each line will be.
        long = len(lines) == 1 and len(head) >= HEAD and lines[0].lstrip().startswith(b"{")
        return Shape(split, Wrapped()) if long or opens(lines) else None

    def examples(self) -> tuple[bytes, ...]:
        """Return one of each kind."""
        one, two = map(packed, EXAMPLE)
        at = "2026-06-01T08:00:00.123Z"
        docker = ['{"log":"INFO:     started\\n","stream":"stderr","time":"2026-06-01T08:00:00Z"}']
        for text in (one + "\n", two + "\n"):
            docker += [packed({"log": piece, "stream": "stdout", "time": at}) for piece in (text[:100], text[100:])]
        return (
            "\n".join(docker).encode(),
            f"{at} stdout P {one[:80]}\n{at} stderr F INFO: odd\n{at} stdout F {one[80:]}\n{at} stdout F {two}\n".encode(),
            "\n".join(map(packed, ({"@timestamp": at, "log": one}, {"timestamp": at, "jsonPayload": EXAMPLE[1]}))).encode(),
            packed({"logEvents": [{"id": "1", "timestamp": 1, "message": one}, {"id": "2", "timestamp": 2, "message": two}]}).encode(),
            f"{at} INFO {one}\n{at} INFO {two}\n".encode(),
        )
