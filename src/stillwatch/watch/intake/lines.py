"""Bytes of a log file -> lines, in bounded memory: hashing, unpacking and splitting in one pass."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Final

import zstandard

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
LONGEST_LINE: Final = 64 << 20
_READ: Final = 1 << 18
_ZSTD_READ: Final = 1 << 14  # unpacks to at most 2 GiB in theory, to some 100 KiB of a log
_MOST_OUT: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive whole lines without their ends; ``number`` (from 1) and ``offset`` (unpacked bytes) are those of the first."""

    number: int
    offset: int
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class Oversize:
    """A line longer than the limit, of which only the digest is kept."""

    number: int
    offset: int
    size: int
    sha256: str


class Source:
    """One file: ``chunks`` yields its unpacked bytes; then ``size`` and ``sha256`` describe it as it lies on disk.

    ``damage`` is a phrase when the packed stream was cut or corrupt; all before that was yielded.
    """

    def __init__(self, file: IO[bytes], told: Callable[[int], None]) -> None:
        """Take an open binary file; ``told`` gets the bytes read so far."""
        self._file = file
        self._told = told
        self._digest = hashlib.sha256()
        self.size = 0
        self.damage: str | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes read so far, as hex."""
        return self._digest.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """Yield unpacked bytes.  Reads the file to its end even after damage, so that its digest is that of the whole file."""
        first = self._read(_READ)
        if first.startswith(GZIP):
            yield from self._gzip(first)
        elif first.startswith(ZSTD):
            yield from self._zstd(first)
        else:
            while first:
                yield first
                first = self._read(_READ)
        self.drain()

    def drain(self) -> None:
        """Read what is left, for the digest."""
        while self._read(1 << 20):
            pass

    def _read(self, most: int) -> bytes:
        data = self._file.read(most)
        self._digest.update(data)
        self.size += len(data)
        if data:
            self._told(self.size)
        return data

    def _gzip(self, packed: bytes) -> Iterator[bytes]:
        member = zlib.decompressobj(31)
        while True:
            if not packed:
                packed = self._read(_READ)
                if not packed:
                    self.damage = "the gzip stream is cut"
                    return
            before = member.copy()
            try:
                out = member.decompress(packed, _MOST_OUT)
            except zlib.error:
                self.damage = "the gzip stream is corrupt"
                yield _until_error(before, packed)
                return
            packed = member.unconsumed_tail
            if out:
                yield out
            if member.eof:
                packed = (member.unused_data or self._read(_READ)).lstrip(b"\0")  # padding is allowed
                while not packed:
                    packed = self._read(_READ)
                    if not packed:
                        return
                    packed = packed.lstrip(b"\0")
                if not packed.startswith(GZIP[: len(packed)]):
                    self.damage = "bytes after the gzip stream"
                    return
                member = zlib.decompressobj(31)

    def _zstd(self, packed: bytes) -> Iterator[bytes]:
        frame = zstandard.ZstdDecompressor().decompressobj()
        while True:
            if not packed:
                packed = self._read(_READ)
                if not packed:
                    self.damage = "the zstd stream is cut"
                    return
            try:
                out = frame.decompress(packed[:_ZSTD_READ])
            except zstandard.ZstdError:
                self.damage = "the zstd stream is corrupt"
                return
            if out:
                yield out
            if frame.eof:
                packed = frame.unused_data + packed[_ZSTD_READ:]
                packed = packed or self._read(_READ)
                if not packed:
                    return
                frame = zstandard.ZstdDecompressor().decompressobj()
            else:
                packed = packed[_ZSTD_READ:]


def _until_error(member: zlib._Decompress, packed: bytes) -> bytes:
    """Return what a corrupt piece holds before the error, feeding it byte by byte."""
    out: list[bytes] = []
    try:
        for i in range(len(packed)):
            out.append(member.decompress(packed[i : i + 1]))
    except zlib.error:
        pass
    return b"".join(out)


def split(chunks: Iterable[bytes], source: Source, *, longest: int = LONGEST_LINE) -> Iterator[Block | Oversize]:
    """Yield the lines of unpacked chunks.  A last line that damage cut short is not yielded.  NUL bytes before a line are skipped."""
    number, offset = 1, 0
    pending: list[bytes] = []
    held = 0
    over: tuple[int, hashlib._Hash] | None = None  # size and digest of a line that is too long
    for chunk in chunks:
        start = 0
        if over is not None or held + len(chunk) > longest:
            end = chunk.find(b"\n") + 1
            if over is not None or held + (end or len(chunk)) > longest + 1:
                size, digest = over or (0, hashlib.sha256())
                for piece in (*pending, chunk[: end - 1] if end else chunk):
                    digest.update(piece)
                    size += len(piece)
                pending, held, over = [], 0, (size, digest)
                if not end:
                    continue
                yield Oversize(number, offset, size, digest.hexdigest())
                number, offset, over, start = number + 1, offset + size + 1, None, end
        end = chunk.rfind(b"\n") + 1
        if end > start:
            pending.append(chunk[start : end - 1])
            lines = b"".join(pending).split(b"\n")
            yield Block(number, offset, lines)
            number += len(lines)
            offset += held + end - start
            pending, held, start = [], 0, end
        if start < len(chunk):
            rest = chunk[start:] if start else chunk
            if not held:
                bare = rest.lstrip(b"\0")
                offset += len(rest) - len(bare)
                rest = bare
            if rest:
                pending.append(rest)
                held += len(rest)
    if source.damage is None:
        if over is not None:
            yield Oversize(number, offset, over[0], over[1].hexdigest())
        elif pending:
            yield Block(number, offset, [b"".join(pending)])


_OUTSIDE: Final = re.compile(rb'["{}\[\],]')
_INSIDE: Final = re.compile(rb'["\\]')


def elements(chunks: Iterable[bytes], source: Source, *, longest: int = LONGEST_LINE) -> Iterator[Block | Oversize]:
    """Yield the objects of a JSON array, or objects that spread over several lines, one a block; ``number`` is the line each begins on."""
    buffer = bytearray()
    at = depth = 0
    begin = -1
    base = 0  # offset of the buffer's first byte
    number, counted = 1, 0  # newlines up to ``counted`` are in ``number``
    inside = False
    lost: tuple[int, int, hashlib._Hash] | None = None  # line, offset, digest of an object that is too long
    for chunk in chunks:
        buffer += chunk
        while True:
            found = (_INSIDE if inside else _OUTSIDE).search(buffer, at)
            if found is None:
                at = max(at, len(buffer))
                break
            mark, at = found[0], found.end()
            if inside:
                inside = mark != b'"'
                at += mark == b"\\"
            elif mark == b'"':
                inside = True
            elif mark == b"{":
                if depth == 0:
                    begin = found.start()
                    number += buffer.count(b"\n", counted, begin)
                    counted = begin
                depth += 1
            elif mark == b"}" and depth:
                depth -= 1
                if depth == 0:
                    if lost is not None:
                        lost[2].update(buffer[begin:at])
                        yield Oversize(lost[0], lost[1], base + at - lost[1], lost[2].hexdigest())
                        lost = None
                    else:
                        yield Block(number, base + begin, [bytes(buffer[begin:at])])
                    begin = -1
        keep = len(buffer) if begin < 0 else begin
        if begin >= 0 and (lost is not None or len(buffer) - begin > longest):
            lost = lost or (number, base + begin, hashlib.sha256())
            lost[2].update(buffer[begin:])
            keep = len(buffer)
            begin = 0
        elif begin >= 0:
            begin = 0
        number += buffer.count(b"\n", counted, keep) if keep > counted else 0
        counted = max(0, counted - keep)
        del buffer[:keep]
        base += keep
        at -= keep
    if begin >= 0 and source.damage is None:
        if lost is not None:
            yield Oversize(lost[0], lost[1], base + len(buffer) - lost[1], lost[2].hexdigest())
        else:
            yield Block(number, base, [bytes(buffer)])
