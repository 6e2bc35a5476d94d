"""The text kernel: bytes in, winnowed fingerprints out (recipe ``winnow-1``).

Source of the method: Schleimer, Wilkerson, Aiken, "Winnowing: local algorithms for document fingerprinting", SIGMOD 2003.

The recipe, pinned; a change of any line is a new recipe with a new name:

1. A segment that is not pure ASCII is first put through Unicode NFKC and simple lower case (``recipe.normalise``).
2. A word is a maximal run of letters and digits.  ASCII letters count in lower case; a run of digits inside a word counts as one ``0``.
   A code point of a script that is written without spaces (Han, kana, Thai, Lao, Khmer, Myanmar) is a word by itself.  ASCII that is neither
   letter nor digit separates, and so do U+0080-U+00BF but for U+00AA, U+00B5 and U+00BA, U+2000-U+206F, U+3000-U+303F and U+FE00-U+FE0F.  Every
   other code point is a letter.
3. A word's hash is FNV-1a (64 bit) over its UTF-8 bytes, then ``mix``.  A UTF-8 sequence that is cut short is read byte by byte.
4. A 6-gram's hash is the polynomial sum of ``word * BASE**(5 - i)`` modulo 2**64, then ``mix``.  0 is replaced by 1.
5. Of each window of 6 neighbouring 6-grams the least hash is kept, so a shared run of 11 words is always found.
   The first and the last 6-gram of a segment are always kept, so a template of 6 words that opens or closes a prompt is found too.
6. A segment of 1 to 5 words gives one fingerprint, of the words it has with their number mixed in.
7. A call's fingerprints are the distinct ones of its segments; above ``LIMIT`` the least are kept, which keeps the choice coherent between calls.

Words are hashed without a branch a byte where a segment is ASCII, and the windows' minima without a branch a word: a mispredicted branch costs
more than all the arithmetic between two of them.
"""

from __future__ import annotations

from typing import Any, Final

import numba as nb
import numpy as np
from numpy.typing import NDArray

GRAM: Final = 6
WINDOW: Final = 6
LIMIT: Final = 512

_FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_BASE_TOP: Final = np.uint64(pow(0x9E3779B97F4A7C15, GRAM, 1 << 64))

_SEP, _LETTER, _DIGIT, _WIDE = 0, 1, 2, 3


def _classes() -> NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[ord("a") : ord("z") + 1] = _LETTER
    table[ord("A") : ord("Z") + 1] = _LETTER
    table[ord("0") : ord("9") + 1] = _DIGIT
    table[128:] = _WIDE
    return table


def _folded() -> NDArray[np.uint64]:
    table = np.arange(256, dtype=np.uint64)
    table[ord("A") : ord("Z") + 1] += np.uint64(32)
    table[ord("0") : ord("9") + 1] = np.uint64(ord("0"))
    return table


_CLASS: Final = _classes()
_FOLD: Final = _folded()
#: Folded byte, 0 for a separator: all that an ASCII segment needs.
_ASCII: Final = np.where(_CLASS == _SEP, np.uint64(0), _FOLD)


@nb.njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _mix(h: Any) -> Any:
    h ^= h >> np.uint64(30)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(27)
    h *= np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@nb.njit(cache=True)  # type: ignore[untyped-decorator]
def _point(data: Any, i: Any, end: Any) -> Any:
    """Decode the UTF-8 code point at ``i``; a cut or stray byte counts as itself, one byte long."""
    b = np.int64(data[i])
    if b >= 0xF0 and i + 3 < end:
        return ((b & 7) << 18) | ((np.int64(data[i + 1]) & 63) << 12) | ((np.int64(data[i + 2]) & 63) << 6) | (
            np.int64(data[i + 3]) & 63
        ), 4
    if b >= 0xE0 and i + 2 < end:
        return ((b & 15) << 12) | ((np.int64(data[i + 1]) & 63) << 6) | (np.int64(data[i + 2]) & 63), 3
    if b >= 0xC0 and i + 1 < end:
        return ((b & 31) << 6) | (np.int64(data[i + 1]) & 63), 2
    return b, 1


@nb.njit(cache=True)  # type: ignore[untyped-decorator]
def _kind(p: Any) -> Any:
    """0 separator, 1 letter, 2 a word by itself; for code points from U+0080 on."""
    if p < 0xC0:
        return 1 if p in (0xAA, 0xB5, 0xBA) else 0
    if p < 0x0E00:
        return 1
    if p <= 0x0EFF or 0x1000 <= p <= 0x109F or 0x1780 <= p <= 0x17FF:
        return 2
    if 0x2000 <= p <= 0x206F or 0x3000 <= p <= 0x303F or 0xFE00 <= p <= 0xFE0F:
        return 0
    if 0x3040 <= p <= 0x30FF or 0x31F0 <= p <= 0x31FF or 0x3400 <= p <= 0x4DBF or 0x4E00 <= p <= 0x9FFF:
        return 2
    if 0xF900 <= p <= 0xFAFF or 0x20000 <= p <= 0x3FFFF:
        return 2
    return 1


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _words_ascii(segment: Any, words: Any) -> Any:
    """Unmixed word hashes of an ASCII segment into ``words``; returns (number of words, hash of the digits and where they stand).

    Unsigned throughout, over a slice and through one table: signed indices and a second look-up cost a third of the speed.
    """
    none, one, zero = np.uint64(0), np.uint64(1), np.uint64(ord("0"))
    n = none
    digits = _FNV_OFFSET
    h = _FNV_OFFSET
    before = none
    for b in segment:
        folded = _ASCII[b]
        ends = folded == none
        digit = folded == zero
        stepped = (h ^ folded) * _FNV_PRIME
        h = _FNV_OFFSET if ends else (h if digit and before == zero else stepped)
        n += one if ends and before != none else none
        words[n] = h
        if digit:
            digits = (digits ^ (np.uint64(b) + (n << np.uint64(8)))) * _FNV_PRIME
        before = folded
    n += one if before != none else none
    return np.int64(n), digits


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _words_utf8(data: Any, start: Any, end: Any, words: Any) -> Any:
    """As ``_words_ascii`` for a normalised UTF-8 segment."""
    n = np.int64(0)
    digits = _FNV_OFFSET
    h = _FNV_OFFSET
    in_word = False
    after_digit = False
    i = start
    while i < end:
        b = data[i]
        c = _CLASS[b]
        size = 1
        kind = 0
        if c == 3:
            p, size = _point(data, i, end)
            kind = _kind(p)
        if c == 0 or (c == 3 and kind != 1):
            if in_word:
                words[n] = h
                n += 1
                h = _FNV_OFFSET
                in_word = False
            if kind == 2:
                for j in range(size):
                    h = (h ^ np.uint64(data[i + j])) * _FNV_PRIME
                words[n] = h
                n += 1
                h = _FNV_OFFSET
        elif c == 2:
            digits = (digits ^ (np.uint64(b) + (np.uint64(n) << np.uint64(8)))) * _FNV_PRIME
            if not (in_word and after_digit):
                h = (h ^ _FOLD[b]) * _FNV_PRIME
            in_word = True
        else:
            for j in range(size):
                h = (h ^ _FOLD[data[i + j]]) * _FNV_PRIME
            in_word = True
        after_digit = c == 2
        i += size
    if in_word:
        words[n] = h
        n += 1
    return n, digits


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_ascii(segment: Any) -> Any:
    high = np.uint8(0)
    for b in segment:
        high |= b
    return high < 128


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _winnow(words: Any, n: Any, grams: Any, out: Any, at: Any) -> Any:
    """Append the fingerprints of ``words[:n]`` to ``out`` from ``at`` on; returns the new end.  ``grams`` is scratch of at least ``n``."""
    if n == 0:
        return at
    if n < GRAM:
        h = np.uint64(n)
        for i in range(n):
            h = h * _BASE + words[i]
        h = _mix(h)
        out[at] = h if h != np.uint64(0) else np.uint64(1)
        return at + 1
    h = np.uint64(0)
    for i in range(GRAM):
        h = h * _BASE + words[i]
    g = n - GRAM + 1
    grams[0] = h
    for i in range(1, g):
        h = h * _BASE + (words[i + GRAM - 1] - words[i - 1] * _BASE_TOP)
        grams[i] = h
    for i in range(g):
        m = _mix(grams[i])
        grams[i] = m if m != np.uint64(0) else np.uint64(1)
    out[at] = grams[0]
    out[at + 1] = grams[g - 1]
    at += 2
    kept = np.uint64(0)
    for i in range(g - WINDOW + 1):
        a = min(grams[i], grams[i + 1])
        b = min(grams[i + 2], grams[i + 3])
        c = min(grams[i + 4], grams[i + 5])
        least = min(a, b, c)
        out[at] = least
        at += least != kept
        kept = least
    return at


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _distinct(prints: Any, begin: Any, end: Any, table: Any, stamps: Any, stamp: Any) -> Any:
    """Keep the distinct values of ``prints[begin:end]``, at most LIMIT, in place; returns the new end."""
    if end - begin > LIMIT:
        part = prints[begin:end]
        part.sort()
        k = 1
        for j in range(1, len(part)):
            if part[j] != part[k - 1]:
                part[k] = part[j]
                k += 1
        return begin + min(k, LIMIT)
    room = np.uint64(len(table) - 1)
    at = begin
    for j in range(begin, end):
        value = prints[j]
        slot = value & room
        while stamps[slot] == stamp and table[slot] != value:
            slot = (slot + np.uint64(1)) & room
        if stamps[slot] != stamp:
            stamps[slot] = stamp
            table[slot] = value
            prints[at] = value
            at += 1
    return at


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sketch_calls(
    data: Any, seg_offsets: Any, call_offsets: Any, is_system: Any, prints: Any, print_offsets: Any, text: Any, system: Any, n_words: Any
) -> Any:
    """Sketch a batch.

    ``data`` uint8 text bytes; ``seg_offsets`` int64[segments + 1] into it; ``call_offsets`` int32/int64[calls + 1] into the segments;
    ``is_system`` bool[segments].  Fills ``prints`` (uint64, room for half the bytes and three a segment), ``print_offsets`` (int64[calls + 1]),
    ``text`` and ``system`` (uint64[calls]) and ``n_words`` (int32[calls]).  Returns the number of fingerprints.
    """
    longest = np.int64(0)
    for s in range(len(seg_offsets) - 1):
        longest = max(longest, seg_offsets[s + 1] - seg_offsets[s])
    words = np.empty(longest + 2, np.uint64)
    grams = np.empty(longest + 2, np.uint64)
    table = np.zeros(4 * LIMIT, np.uint64)
    stamps = np.zeros(4 * LIMIT, np.int64)
    at = np.int64(0)
    print_offsets[0] = 0
    for c in range(len(call_offsets) - 1):
        begin = at
        whole = _FNV_OFFSET
        sys_hash = _FNV_OFFSET
        total = 0
        for s in range(call_offsets[c], call_offsets[c + 1]):
            start = seg_offsets[s]
            end = seg_offsets[s + 1]
            if _is_ascii(data[start:end]):
                n, exact = _words_ascii(data[start:end], words)
            else:
                n, exact = _words_utf8(data, start, end, words)
            for i in range(n):
                words[i] = _mix(words[i])
            for i in range(n):
                exact = (exact ^ words[i]) * _FNV_PRIME
            total += n
            whole = (whole ^ exact) * _FNV_PRIME
            if is_system[s] and n > 0:
                sys_hash = (sys_hash ^ exact) * _FNV_PRIME
            at = _winnow(words, n, grams, prints, at)
        text[c] = _mix(whole) if total > 0 else np.uint64(0)
        system[c] = _mix(sys_hash) if sys_hash != _FNV_OFFSET else np.uint64(0)
        n_words[c] = total
        at = _distinct(prints, begin, at, table, stamps, c + 1)
        print_offsets[c + 1] = at
    return at


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def hash_strings(data: Any, offsets: Any, out: Any) -> None:
    """FNV-1a and ``mix`` of each byte string; ``offsets`` int32/int64[n + 1], ``out`` uint64[n]."""
    for i in range(len(out)):
        h = _FNV_OFFSET
        for j in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(data[j])) * _FNV_PRIME
        out[i] = _mix(h)
