"""Stream rows -> groups to test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from stillwatch.watch.campaign.classes import Group
from stillwatch.watch.campaign.classes.network import at_one_place, is_office
from stillwatch.watch.campaign.population import MISSING, Population
from stillwatch.watch.campaign.scoring import MIN_CALLS, MIN_OWNERS

#: An address of more accounts than this is a carrier's or an exit node's and ties nobody together.
CROWD: Final = 256
#: A pool with more than this share of all accounts is no pool; there, accounts must have two addresses in common.
GIANT: Final = 0.2

#: The relation of an institution's accounts, and the mark of a group of them.
INSTITUTION: Final = "institution"
#: The mark of a group that what its accounts ask for brought together.
CONTENT: Final = "content"

#: Key that brings accounts together -> the class that then is no evidence.
_CHOOSES: Final = {"pool": "network", "card": "payment", INSTITUTION: INSTITUTION}

_FIELDS: Final = ("who", "calls", "repeated", "texts", "with_text", "first", "last")
_ARRAYS: Final = (*_FIELDS, "clients")


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
    sums = [np.bincount(at, rows[c][take], n).astype(np.int64) for c in ("calls", "repeated", "texts", "with_text")]
    first, last = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(first, at, rows["first"][take])
    np.maximum.at(last, at, rows["last"][take])
    clients = np.zeros(n, np.int64)
    by_size = np.argsort(rows["calls"][take], kind="stable")
    clients[at[by_size]] = rows["client"][take][by_size]  # the last written, of most calls, stays
    return (who.astype(np.int64), *sums, first, last, clients)


def groups(rows: pa.Table, keys: list[str], pop: Population, *, by_client: bool, owners: int = MIN_OWNERS) -> Iterator[Group]:
    """The groups of a stream table that are large enough to test.

    Args:
        rows: see ``link.streams``.
        keys: the columns that name a group: ``["family"]`` or ``["client", "system", "tools"]``.
        pop: for the owners.
        by_client: also split each group by client where that gives something smaller.
        owners: how many a group must have at least.
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
            who, calls, repeated, texts, with_text, first, last, clients = _merge(columns, take)
            if len(np.unique(pop.owner[who])) < owners:
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
                with_text=with_text,
                first=first,
                last=last,
                clients=clients,
                pool=int(columns["pool"][head]) if "pool" in keys else None,
                picked=int(columns["picked"][head]) if "picked" in keys else None,
                chosen=frozenset(trait for key, trait in _CHOOSES.items() if key in keys),
            )


def components(pop: Population, who: NDArray[np.int64], *, cards: bool) -> NDArray[np.int64]:
    """[who] label of each account's component: accounts are tied by an address of at most ``CROWD`` accounts and, if asked, by a card."""
    position, codes = pop.addresses(who)
    usable = pop.address_counts[codes] <= CROWD
    left, right = position[usable], codes[usable]
    if cards:
        paid = np.flatnonzero(pop.payment.codes[who] >= 0)
        left = np.r_[left, paid]
        right = np.r_[right, len(pop.address_counts) + pop.payment.codes[who][paid]]
    things, right = np.unique(right, return_inverse=True)
    n = len(who)
    ties = csr_array((np.ones(len(left), np.int8), (left, n + right)), shape=(n + len(things),) * 2)
    labels: NDArray[np.int64] = connected_components(ties, directed=False)[1][:n].astype(np.int64)
    return labels


def pools(pop: Population) -> NDArray[np.int64]:
    """[accounts] label of the address pool that an account calls from, -1 for none with at least ``MIN_OWNERS`` owners.

    Bare questions share no text, so the accounts must be brought together by something else; what brings them together is then no evidence.
    """
    everybody = np.arange(len(pop.accounts))
    labels = components(pop, everybody, cards=False)
    sizes = np.bincount(labels)
    giant = np.flatnonzero(sizes > max(1000, GIANT * len(everybody)))
    for label in giant.tolist():
        who = np.flatnonzero(labels == label)
        position, codes = pop.addresses(who)
        usable = pop.address_counts[codes] <= CROWD
        uses = csr_array(
            (np.ones(int(usable.sum()), np.int32), (position[usable], codes[usable])), shape=(len(who), len(pop.address_counts))
        )
        twice = (uses @ uses.T >= 2).astype(np.int8)
        labels[who] = labels.max() + 1 + connected_components(twice, directed=False)[1]
    # One owner's accounts speak with one voice.
    pairs = np.unique(np.stack([labels, pop.owner]), axis=1)
    labels[np.bincount(pairs[0], minlength=labels.max(initial=0) + 1)[labels] < MIN_OWNERS] = -1
    return labels


def pool_groups(rows: pa.Table, keys: list[str], pop: Population) -> Iterator[Group]:
    """The groups of calls within one address pool, of one client and then of any: wording and settings cost nothing to change, addresses do.

    Arguments as in ``groups``.
    """
    label = pools(pop)[rows.column("who").to_numpy()]
    tied = rows.append_column("pool", pa.array(label)).filter(pa.array(label >= 0))
    yield from groups(tied, [*keys, "pool"], pop, by_client=False)
    yield from groups(tied, ["pool"], pop, by_client=False)


def _serving(pop: Population, codes: NDArray[np.int64], owners: int) -> NDArray[np.intp]:
    """Cards, of the accounts' ``codes``, that serve at least so many owners."""
    cards = np.unique(np.stack([codes, pop.owner])[:, codes >= 0], axis=1)
    return np.flatnonzero(np.bincount(cards[0]) >= owners)


def card_groups(rows: pa.Table, pop: Population) -> Iterator[Group]:
    """All calls of the accounts on one card, whatever their clients and words: what ties those that share nothing else.

    The card is no evidence then, so these are leads at most.  Arguments as in ``groups``.
    """
    tying = _serving(pop, pop.payment.codes, MIN_OWNERS)
    card = pop.payment.codes[rows.column("who").to_numpy()]
    tied = rows.append_column("card", pa.array(card)).filter(pa.array(np.isin(card, tying)))
    yield from groups(tied, ["card"], pop, by_client=False)


def card_sharers(pop: Population) -> NDArray[np.int64]:
    """Accounts on cards of several owners, where those are under no common roof and none says openly whom he belongs to."""
    codes = np.where(pop.declared, MISSING, pop.payment.codes)
    by_card = np.flatnonzero(np.isin(codes, _serving(pop, codes, 2)))
    by_card = by_card[np.argsort(codes[by_card], kind="stable")]
    each = np.split(by_card, np.flatnonzero(np.diff(codes[by_card])) + 1)
    apart = [who for who in each if len(who) and not (at_one_place(pop, who) or is_office(pop, who))]
    return np.sort(np.concatenate(apart)) if apart else np.zeros(0, np.int64)


def institution_groups(rows: pa.Table, keys: list[str], pop: Population) -> Iterator[Group]:
    """Calls of one institution's accounts, of one client and then of any: who says openly whom he belongs to is in no campaign, but it can be a sham.

    Arguments as in ``groups``.
    """
    mine = np.array([r == INSTITUTION for r in pop.relation], bool)
    who = rows.column("who").to_numpy()
    tied = rows.append_column(INSTITUTION, pa.array(pop.owner[who])).filter(pa.array(mine[who]))
    yield from groups(tied, [*keys, INSTITUTION], pop, by_client=False, owners=1)
    yield from groups(tied, [INSTITUTION], pop, by_client=False, owners=1)


def joined(some: Sequence[Group]) -> Group:
    """Groups without accounts in common as one; the first names it."""
    order = np.argsort(np.concatenate([g.who for g in some]), kind="stable")
    arrays: dict[str, Any] = {c: np.concatenate([getattr(g, c) for g in some])[order] for c in _ARRAYS}
    return replace(some[0], client=None, **arrays)


def part(group: Group, take: NDArray[np.bool_]) -> Group:
    """The group without the accounts that ``take`` [who] leaves out."""
    arrays: dict[str, Any] = {c: getattr(group, c)[take] for c in _ARRAYS}
    return replace(group, **arrays)
