"""Stream rows -> groups to test."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.campaign.population import Population
from stillwatch.campaign.scoring import MIN_CALLS, MIN_OWNERS, Group

_FIELDS: Final = ("who", "calls", "repeated", "texts", "first", "last")


def _runs(keys: list[NDArray[np.int64]]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """(order that sorts by ``keys``, starts of the runs of equal keys, with the end appended)."""
    order = np.lexsort(keys[::-1])
    if not len(order):
        return order, np.array([0])
    new = np.zeros(len(order), bool)
    new[0] = True
    for k in keys:
        new[1:] |= k[order][1:] != k[order][:-1]
    return order, np.r_[np.flatnonzero(new), len(order)]


def _merge(rows: dict[str, NDArray[Any]], take: NDArray[np.intp]) -> tuple[NDArray[Any], ...]:
    """Rows of a group with one row per account."""
    who, at = np.unique(rows["who"][take], return_inverse=True)
    n = len(who)
    sums = [np.bincount(at, rows[c][take], n).astype(np.int64) for c in ("calls", "repeated", "texts")]
    first, last = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(first, at, rows["first"][take])
    np.maximum.at(last, at, rows["last"][take])
    clients = np.zeros(n, np.int64)
    by_size = np.argsort(rows["calls"][take], kind="stable")
    clients[at[by_size]] = rows["client"][take][by_size]  # the last written, of most calls, stays
    return (who.astype(np.int64), *sums, first, last, clients)


def groups(rows: pa.Table, keys: list[str], pop: Population, *, by_client: bool) -> Iterator[Group]:
    """The groups of a stream table that are large enough to test.

    Args:
        rows: see ``link.streams``.
        keys: the columns that name a group: ``["family"]`` or ``["client", "system", "tools"]``.
        pop: for the owners.
        by_client: also split each group by client where that gives something smaller.
    """
    columns = {c: rows.column(c).to_numpy() for c in (*_FIELDS, *keys, "client")}
    seen: set[bytes] = set()
    for names in [keys, [*keys, "client"]] if by_client else [keys]:
        order, starts = _runs([columns[k] for k in names])
        for begin, end in pairwise(starts.tolist()):
            if end - begin < MIN_OWNERS:
                continue
            take = order[begin:end]
            if columns["calls"][take].sum() < MIN_CALLS:
                continue
            who, calls, repeated, texts, first, last, clients = _merge(columns, take)
            if len(np.unique(pop.owner[who])) < MIN_OWNERS:
                continue
            # Pieces of one template make families with the very same streams; once is enough.
            same = blake2b(b"".join(c.tobytes() for c in (who, calls, first, last)), digest_size=16).digest()
            if same in seen:
                continue
            seen.add(same)
            head = take[0]
            family = int(columns["family"][head]) if "family" in keys else None
            client = int(columns["client"][head]) if "client" in names else None
            yield Group(
                family=family,
                client=client,
                key=tuple(int(columns[k][head]) for k in names),
                who=who,
                calls=calls,
                repeated=repeated,
                texts=texts,
                first=first,
                last=last,
                clients=clients,
            )
