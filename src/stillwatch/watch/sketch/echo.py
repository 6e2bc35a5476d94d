"""Answers -> the few prints by which a later prompt that quotes them is known (recipe ``echo-1``).

The recipe, pinned; a change of any line is a new recipe with a new name:

1. An answer is one segment and is fingerprinted by ``winnow-1``, as prompts are, so an answer and a prompt that holds 11 words of it in a row
   share a fingerprint.
2. An answer of fewer than ``LEAST_WORDS`` words has none: a phrase that short is nobody's own.
3. Fingerprints of the call's own prompt are left out: what an answer takes over from its prompt is not the answer's own, and a text that one account
   has refined from another's answer still tells whose it was.
4. Of the distinct ones left the least ``KEPT`` are kept, in ascending order (unsigned), so the same text gives the same ones wherever it stands.
"""

from __future__ import annotations

from typing import Any, Final

import numba as nb
import numpy as np
import pyarrow as pa

from stillwatch.watch.sketch.kernel import _is_ascii, _mix, _winnow, _words_ascii, _words_utf8

ECHO_RECIPE: Final = "echo-1"
LEAST_WORDS: Final = 10
KEPT: Final = 32


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sample(data: Any, offsets: Any, own: Any, own_offsets: Any, prints: Any, print_offsets: Any) -> Any:
    """Fill ``prints`` (uint64, room for ``KEPT`` a text) and ``print_offsets`` (int32[texts + 1]).

    Texts are at ``offsets`` in ``data``; the fingerprints that each may not have (uint64, any order) at ``own_offsets`` in ``own``.
    """
    longest = np.int64(0)
    for c in range(len(offsets) - 1):
        longest = max(longest, offsets[c + 1] - offsets[c])
    words = np.empty(longest + 2, np.uint64)
    grams = np.empty(longest + 2, np.uint64)
    found = np.empty(longest // 2 + 5, np.uint64)
    at = np.int64(0)
    print_offsets[0] = 0
    for c in range(len(offsets) - 1):
        start, end = offsets[c], offsets[c + 1]
        if _is_ascii(data[start:end]):
            n, _ = _words_ascii(data[start:end], words)
        else:
            n, _ = _words_utf8(data, start, end, words)
        if n >= LEAST_WORDS:
            for i in range(n):
                words[i] = _mix(words[i])
            size = _winnow(words, n, grams, found, 0)
            mine = found[:size]
            mine.sort()
            asked = np.sort(own[own_offsets[c] : own_offsets[c + 1]])
            kept, j = 0, 0
            for i in range(size):
                if kept == KEPT:
                    break
                while j < len(asked) and asked[j] < mine[i]:
                    j += 1
                known = j < len(asked) and asked[j] == mine[i]
                if not known and (i == 0 or mine[i] != mine[i - 1]):
                    prints[at] = mine[i]
                    at += 1
                    kept += 1
        print_offsets[c + 1] = at
    return at


def echo_prints(texts: pa.Array, data: Any, offsets: Any, own: Any, own_offsets: Any) -> pa.Array:
    """The prints of each text.

    Args:
        texts: large_string array, whose nulls stay null.
        data: uint8 bytes of the normalised texts.
        offsets: int64[texts + 1] into ``data``.
        own: uint64 fingerprints of the texts' own prompts.
        own_offsets: int64[texts + 1] into ``own``.

    Returns:
        list<int64> array of the same length.
    """
    prints = np.empty(KEPT * len(texts), np.uint64)
    print_offsets = np.zeros(len(texts) + 1, np.int32)
    used = _sample(data, offsets, own, own_offsets, prints, print_offsets)
    return pa.ListArray.from_arrays(pa.array(print_offsets), pa.array(prints[:used].view(np.int64)), mask=texts.is_null())
