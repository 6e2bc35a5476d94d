"""Fingerprints that occur in the same calls are one family.

Two fingerprints of one template are found in nearly the same calls.  The overlap of their call sets is estimated by min-hashes (Broder 1997) over
the calls' own order hash; fingerprints that agree in at least half of them are joined, each to the most frequent one it agrees with.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

HASHES: Final = 16
AGREE: Final = 8

_ODD: Final = np.random.default_rng(0x57111).integers(1 << 20, 1 << 62, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _min_hashes(order: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """[groups, HASHES] least hash of each group of rows; groups are runs that begin at ``starts``."""
    base = order.view(np.uint64)
    out = np.empty((len(starts), HASHES), np.uint64)
    for k, odd in enumerate(_ODD):
        h = base * odd
        h ^= h >> np.uint64(29)
        h *= np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(32)
        out[:, k] = np.minimum.reduceat(h, starts)
    return out


def group_prints(rows: pa.Table) -> pa.Table:
    """Group recurring fingerprints into families.

    Args:
        rows: print int64, order int64, n int64 (see ``steps.sampled``), any row order.

    Returns:
        print, family, size.  ``family`` is the least fingerprint (unsigned) of the family, so it does not depend on row order; ``size`` is the number
        of its fingerprints.
    """
    empty = pa.table({"print": pa.array([], pa.int64()), "family": pa.array([], pa.int64()), "size": pa.array([], pa.int64())})
    if rows.num_rows == 0:
        return empty
    prints, order, n = (rows.column(c).to_numpy() for c in ("print", "order", "n"))
    by = np.lexsort((order, prints))
    prints, order, n = prints[by], order[by], n[by]
    starts = np.flatnonzero(np.r_[True, prints[1:] != prints[:-1]])
    values, counts = prints[starts], n[starts]
    sketch = _min_hashes(order, starts)

    # Most frequent first, the least print of equals: a leader is always ahead of those that join it.
    rank = np.lexsort((values.view(np.uint64), -counts))
    place = np.empty(len(rank), np.int64)
    place[rank] = np.arange(len(rank))
    parent = np.arange(len(values))
    best = np.full(len(values), AGREE - 1)
    for k in range(HASHES):
        column = sketch[:, k]
        by = np.lexsort((place, column))
        new = np.r_[True, column[by][1:] != column[by][:-1]]
        leader = by[np.flatnonzero(new)[np.cumsum(new) - 1]]
        agree = (sketch[by] == sketch[leader]).sum(axis=1)
        ahead = place[leader] < place[by]
        better = ahead & ((agree > best[by]) | ((agree == best[by]) & (place[leader] < place[parent[by]]) & (parent[by] != by)))
        parent[by[better]] = leader[better]
        best[by[better]] = agree[better]
    while True:  # leaders may themselves have joined another; chains are short because every step goes strictly ahead
        up = parent[parent]
        if np.array_equal(up, parent):
            break
        parent = up
    least = np.full(len(values), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, parent, values.view(np.uint64))
    size = np.bincount(parent, minlength=len(values))
    return pa.table({"print": values, "family": least[parent].view(np.int64), "size": size[parent].astype(np.int64)})
