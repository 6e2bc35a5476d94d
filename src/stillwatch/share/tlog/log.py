"""The append-only log: RFC 6962 tree, C2SP checkpoints (signed notes), cosignatures, tiles.  Pure: whoever has the hashes passes a way to get them.

Sources: RFC 6962 section 2.1 and RFC 9162 sections 2.1.3 to 2.1.4 (proofs); C2SP tlog-checkpoint, signed-note, tlog-cosignature, tlog-tiles.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

#: Hash of the complete subtree number ``index`` of height ``level`` (2**level leaves).
Get = Callable[[int, int], bytes]
#: Leaves of a tile.
TILE: Final = 256
_NOTE, _COSIGNATURE = b"\x01", b"\x04"


class LogError(ValueError):
    """A proof, checkpoint or signature that does not hold, or bytes that are none."""


class SplitView(LogError):
    """Two signed heads of one log that cannot both be true: ``notes`` are the proof, as they were signed."""

    def __init__(self, message: str, notes: tuple[str, str]) -> None:
        super().__init__(message)
        self.notes = notes


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def appended(size: int, leaf: bytes, get: Get) -> list[tuple[int, int, bytes]]:
    """(level, index, hash) of the subtrees that become complete with leaf number ``size``, the leaf's own first."""
    out = [(0, size, leaf)]
    level, index, value = 0, size, leaf
    while index % 2 == 1:
        value = node_hash(get(level, index - 1), value)
        level, index = level + 1, index // 2
        out.append((level, index, value))
    return out


def subtree(begin: int, end: int, get: Get) -> bytes:
    """Merkle tree hash of leaves ``begin`` to ``end`` (excluded); ``begin`` is a multiple of the largest power of two below the width."""
    width = end - begin
    if width == 0:
        return sha256(b"").digest()
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return get(level, begin >> level)
    k = 1 << (width - 1).bit_length() - 1
    return node_hash(subtree(begin, begin + k, get), subtree(begin + k, end, get))


def root(size: int, get: Get) -> bytes:
    """Root of the first ``size`` leaves."""
    return subtree(0, size, get)


def inclusion(index: int, size: int, get: Get) -> list[bytes]:
    """Audit path of leaf ``index`` in the tree of ``size`` leaves (RFC 6962 2.1.1)."""
    if not 0 <= index < size:
        raise LogError(f"leaf {index} is not in a tree of {size}")

    def path(m: int, begin: int, end: int) -> list[bytes]:
        if end - begin == 1:
            return []
        k = 1 << (end - begin - 1).bit_length() - 1
        if m < k:
            return [*path(m, begin, begin + k), subtree(begin + k, end, get)]
        return [*path(m - k, begin + k, end), subtree(begin, begin + k, get)]

    return path(index, 0, size)


def consistency(old: int, new: int, get: Get) -> list[bytes]:
    """Proof that the tree of ``old`` leaves is a beginning of that of ``new`` (RFC 6962 2.1.2)."""
    if not 0 < old <= new:
        raise LogError(f"no consistency proof from {old} to {new}")

    def proof(m: int, begin: int, end: int, whole: bool) -> list[bytes]:
        if m == end - begin:
            return [] if whole else [subtree(begin, end, get)]
        k = 1 << (end - begin - 1).bit_length() - 1
        if m <= k:
            return [*proof(m, begin, begin + k, whole), subtree(begin + k, end, get)]
        return [*proof(m - k, begin + k, end, False), subtree(begin, begin + k, get)]

    return proof(old, 0, new, True)


def verify_inclusion(leaf: bytes, index: int, size: int, path: Iterable[bytes], expected: bytes) -> None:
    """RFC 9162 2.1.3.2.

    Raises:
        LogError: the leaf is not shown to be there.
    """
    if not 0 <= index < size:
        raise LogError(f"leaf {index} is not in a tree of {size}")
    fn, sn, value = index, size - 1, leaf
    for p in path:
        if sn == 0:
            raise LogError("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            value = node_hash(p, value)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            value = node_hash(value, p)
        fn, sn = fn >> 1, sn >> 1
    if sn or value != expected:
        raise LogError(f"leaf {index} is not in the tree of {size} with this root")


def verify_consistency(old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes) -> None:
    """RFC 9162 2.1.4.2.

    Raises:
        LogError: the newer tree does not begin with the older: history was rewritten.
    """
    if old == new:
        if proof or old_root != new_root:
            raise LogError(f"two different trees of {old} leaves were shown")
        return
    if old == 0:
        return
    if old > new or not proof:
        raise LogError(f"the log went back from {old} to {new} leaves, or gave no proof")
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for c in path[1:]:
        if sn == 0:
            raise LogError("the consistency proof is too long")
        if fn & 1 or fn == sn:
            first, second = node_hash(c, first), node_hash(c, second)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, c)
        fn, sn = fn >> 1, sn >> 1
    if sn or first != old_root or second != new_root:
        raise LogError(f"the tree of {new} leaves does not begin with the tree of {old} that was seen before: history was rewritten")


def tile(level: int, number: int, width: int, get: Get) -> bytes:
    """A tile: ``width`` hashes at height 8 * ``level``, from ``number`` * 256 on."""
    return b"".join(get(8 * level, number * TILE + i) for i in range(width))


def tile_path(kind: str, number: int, width: int = TILE) -> str:
    """Path of a tile below the log's prefix; ``kind`` is a level or "entries"."""
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.append(f"x{number % 1000:03d}")
    return f"tile/{kind}/{'/'.join(reversed(groups))}" + ("" if width == TILE else f".p/{width}")


def read_tile_path(path: str) -> tuple[str, int, int]:
    """(kind, number, width) of a tile's path.

    Raises:
        LogError: it is none.
    """
    parts = path.strip("/").split("/")
    try:
        if parts[0] != "tile":
            raise ValueError
        width = TILE
        if len(parts) > 3 and parts[-2].endswith(".p"):
            width = int(parts.pop())
            parts[-1] = parts[-1][:-2]
        number = 0
        for at, group in enumerate(parts[2:]):
            if (group[0] == "x") != (at < len(parts) - 3):
                raise ValueError
            number = number * 1000 + int(group.removeprefix("x"))
        kind = parts[1]
        if (kind != "entries" and not 0 <= int(kind) <= 7) or not 1 <= width <= TILE or tile_path(kind, number, width) != path.strip("/"):
            raise ValueError
    except (ValueError, IndexError):
        raise LogError(f"{path[:80]} is no path of a tile") from None
    return kind, number, width


def bundle(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry behind its length in two bytes."""
    return b"".join(len(e).to_bytes(2, "big") + e for e in entries)


def unbundle(data: bytes) -> list[bytes]:
    """The entries of a bundle."""
    out, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise LogError("an entry bundle is cut off")
        out.append(data[at + 2 : end])
        at = end
    return out


#: A statement that a backup was put in place.
RESTORED: Final = "stillwatch-restored-1"


def restored_bytes(statement: Mapping[str, object]) -> bytes:
    """What a log's key signs of such a statement: its format, a line break, and the statement without its signature (RFC 8785)."""
    bare: dict[str, Any] = {k: v for k, v in statement.items() if k != "signature"}
    return RESTORED.encode() + b"\n" + rfc8785.dumps(bare)


def digests_root(digests: Iterable[str]) -> str:
    """One digest for a set of digests (hex), whatever their order."""
    return sha256("".join(sorted(digests)).encode()).hexdigest()


class Tiles:
    """Hashes out of fetched tiles.

    Args:
        fetch: path of a tile -> its bytes.
        size: leaves of the tree; partial tiles are asked for as wide as they then are.
    """

    def __init__(self, fetch: Callable[[str], bytes], size: int) -> None:
        self._fetch, self._size = fetch, size
        self._tiles: dict[tuple[int, int], bytes] = {}

    def get(self, level: int, index: int) -> bytes:
        """Hash of a complete subtree."""
        at, inside = divmod(level, 8)
        first = index << inside
        number = first // TILE
        key = (at, number)
        if key not in self._tiles:
            width = min(TILE, (self._size >> 8 * at) - number * TILE)
            data = self._fetch(tile_path(str(at), number, width))
            if len(data) != 32 * width:
                raise LogError(f"a tile of {len(data)} bytes where {32 * width} were due")
            self._tiles[key] = data
        data, offset = self._tiles[key], first % TILE
        hashes = [data[32 * i : 32 * i + 32] for i in range(offset, offset + (1 << inside))]
        while len(hashes) > 1:
            hashes = [node_hash(a, b) for a, b in zip(hashes[::2], hashes[1::2], strict=True)]
        if len(hashes[0]) != 32:
            raise LogError("a tile ends before the hash that was asked for")
        return hashes[0]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree's head: ``text`` is what is signed."""

    origin: str
    size: int
    root: bytes
    text: str


def checkpoint_text(origin: str, size: int, head: bytes) -> str:
    """The body of a checkpoint."""
    return f"{origin}\n{size}\n{base64.b64encode(head).decode()}\n"


def read_checkpoint(note: str) -> Checkpoint:
    """The checkpoint in a note; signatures are looked at apart.

    Raises:
        LogError: it is none.
    """
    text, found, _ = note.partition("\n\n")
    lines = text.split("\n")
    try:
        size, head = int(lines[1]), base64.b64decode(lines[2], validate=True)
        if not found or str(size) != lines[1] or size < 0 or len(head) != 32 or not lines[0]:
            raise ValueError
    except (ValueError, IndexError):
        raise LogError("not a checkpoint") from None
    return Checkpoint(lines[0], size, head, text + "\n")


def _key_hash(name: str, kind: bytes, public: Ed25519PublicKey) -> bytes:
    return sha256(name.encode() + b"\n" + kind + public.public_bytes_raw()).digest()[:4]


def verifier_key(name: str, public: Ed25519PublicKey) -> str:
    """A signed note's verifier key: name+hash+key."""
    blob = base64.b64encode(_NOTE + public.public_bytes_raw()).decode()
    return f"{name}+{_key_hash(name, _NOTE, public).hex()}+{blob}"


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """The signature line of a note."""
    mark = _key_hash(name, _NOTE, key.public_key())
    return f"\u2014 {name} {base64.b64encode(mark + key.sign(text.encode())).decode()}\n"


def cosign(text: str, name: str, key: Ed25519PrivateKey, now: int) -> str:
    """A witness's line on a checkpoint; ``now`` in seconds."""
    mark = _key_hash(name, _COSIGNATURE, key.public_key())
    signature = key.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
    return f"\u2014 {name} {base64.b64encode(mark + now.to_bytes(8, 'big') + signature).decode()}\n"


def _lines(note: str) -> Iterable[tuple[str, bytes]]:
    for line in note.partition("\n\n")[2].splitlines():
        mark, _, rest = line.partition(" ")
        name, _, blob = rest.partition(" ")
        if mark == "\u2014" and name and blob:
            try:
                yield name, base64.b64decode(blob, validate=True)
            except ValueError:
                continue


def verify_note(note: str, name: str, public: Ed25519PublicKey) -> Checkpoint:
    """The checkpoint of a note that ``name`` signed.

    Raises:
        LogError: it did not.
    """
    found = read_checkpoint(note)
    mark = _key_hash(name, _NOTE, public)
    for who, blob in _lines(note):
        if who == name and blob[:4] == mark:
            try:
                public.verify(blob[4:], found.text.encode())
            except InvalidSignature:
                continue
            return found
    raise LogError(f"the checkpoint is not signed by {name}")


def witnesses(note: str, known: Mapping[str, Ed25519PublicKey]) -> dict[str, int]:
    """Which of the ``known`` witnesses cosigned a note, and when (seconds)."""
    found = read_checkpoint(note)
    out = {}
    for who, blob in _lines(note):
        public = known.get(who)
        if public is None or len(blob) != 76 or blob[:4] != _key_hash(who, _COSIGNATURE, public):
            continue
        at = int.from_bytes(blob[4:12], "big")
        try:
            public.verify(blob[12:], f"cosignature/v1\ntime {at}\n{found.text}".encode())
        except InvalidSignature:
            continue
        out[who] = at
    return out


def cosignature_line(note: str, name: str, public: Ed25519PublicKey) -> str:
    """The line of a note with which a witness cosigned it, written anew.

    Raises:
        LogError: there is none.
    """
    text = note.partition("\n\n")[0] + "\n\n"
    for who, blob in _lines(note):
        line = f"\u2014 {who} {base64.b64encode(blob).decode()}\n"
        if who == name and name in witnesses(text + line, {name: public}):
            return line
    raise LogError(f"no cosignature by {name}")


def majority(sizes: Sequence[int], members: int) -> int:
    """The largest size that more than half of the members have cosigned a tree of, or a larger one; 0 for none."""
    needed = members // 2 + 1
    return sorted(sizes, reverse=True)[needed - 1] if len(sizes) >= needed else 0
