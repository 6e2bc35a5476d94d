"""Passing groups -> campaigns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes import Group
from stillwatch.watch.campaign.groups import components, part
from stillwatch.watch.campaign.judge import Judged
from stillwatch.watch.campaign.population import Population
from stillwatch.watch.campaign.scoring import Score, score

#: A group joins a campaign that has this share of the group's accounts ...
SAME: Final = 0.5
#: ... or this share of whose own accounts the group has.
COVERS: Final = 0.8
#: A group that shares this much with a second campaign ties the two by what they both borrow, and is left out.
BRIDGE: Final = 0.2
#: A group that an address pool brought together must be so many times as large as the campaign it joins.
GROWS: Final = 1.5
#: Pieces of a group with fewer accounts are not campaigns of their own: a few people on a card are a family.
MIN_PIECE: Final = 8
#: Numbers of calls are tried in steps of this part of them.
_STEP: Final = 50


@dataclass(slots=True, eq=False)
class Ring:
    """A campaign while it is put together.  ``parts`` are (group, member accounts) that passed, strongest first."""

    lead: Judged
    accounts: set[int] = field(default_factory=set)
    bits: dict[int, float] = field(default_factory=dict)
    parts: list[tuple[Score, frozenset[int]]] = field(default_factory=list)
    mixed: bool = False  # its pieces share no address and no card
    pieces: Counter[int] = field(
        default_factory=Counter
    )  # how many of its accounts are tied to one another by addresses and cards, by piece

    def add(self, found: Judged, members: frozenset[int]) -> None:
        """Take in a passing group with those of its members that are this campaign's."""
        self.parts.append((found.score, members))
        if (found.bits, len(members)) > (self.lead.bits, len(self.accounts)):
            self.lead = found
        self.accounts |= members
        for who, bits in zip(found.score.group.who.tolist(), found.score.member_bits.tolist(), strict=True):
            if who in members:
                self.bits[who] = max(bits, self.bits.get(who, -math.inf))


def threshold_bits(tested: int, max_false_alarms: float) -> float:
    """Bits a group needs so that among ``tested`` groups without any operator at most ``max_false_alarms`` are expected to pass.

    By Markov's inequality an e-value reaches 2**b with chance at most 2**-b.
    """
    return math.log2(max(tested, 1) / max_false_alarms)


def q_values(bits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini-Hochberg q-values of p = min(1, 2**-bits), same order (JRSS B 57:289, 1995; for e-values Wang & Ramdas, JRSS B 84:822, 2022)."""
    p = np.exp2(-np.maximum(bits, 0.0))
    order = np.argsort(p, kind="stable")
    ranked = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate(ranked[::-1])[::-1]
    return np.minimum(q, 1.0)


def apart(pop: Population, passing: Score, threshold: float) -> list[Score]:
    """What a group that can pass is once the pieces in it are looked at alone; a piece is accounts that share addresses or cards with one another.

    Several pieces of some size that can pass are rings which share a tool and nothing else.  Where one can and another cannot, the other is ordinary people
    who sent the same words, tied by a place of their own.
    """
    labels = np.where(passing.member, components(pop, passing.group.who, cards=True), -1)
    sizes = np.bincount(labels[labels >= 0])
    large = np.flatnonzero(sizes >= MIN_PIECE)
    if np.count_nonzero(sizes > 1) < 2 or not len(large):
        return [passing]
    pieces = {label: score(pop, part(passing.group, labels == label)) for label in large.tolist()}
    good = [p for p in pieces.values() if p.possible(threshold)]
    if len(good) > 1 and sum(int(p.member.sum()) for p in good) >= COVERS * passing.member.sum():
        return good
    strangers = [k for k in large.tolist() if not pieces[k].possible(threshold)]
    if not good or not strangers:
        return [passing]
    rest = score(pop, part(passing.group, ~np.isin(labels, strangers)))
    return [rest] if rest.possible(threshold) else good


def rings(pop: Population, passing: Sequence[Judged]) -> list[Ring]:
    """Join passing groups that share their accounts.

    The largest come first and found campaigns; a later group joins the one campaign it shares its accounts with, brings in accounts of its own that no
    campaign has, and is left out when it straddles two.  Where a campaign's addresses and cards tie it together, nobody is brought in whom they do not tie to
    it: people send the ring's ordinary questions too.  A campaign's evidence is that of its strongest group.

    Mixed traffic comes after groups of a campaign's own, and what falls into several pieces after what does not: some accounts of each of two rings that send
    the same words are more than either ring's alone, and would make one campaign of both.  Groups that an address pool brought together come last, the
    strongest of each pool, and only where they are new or find half as many accounts again: the same accounts' camouflage goes through the same pool.
    """
    best_of_pool: dict[int, Judged] = {}
    pooled = [j for j in passing if j.score.group.pool is not None]
    for j in sorted(pooled, key=lambda j: (int(j.score.member.sum()), len(j.score.group.key), j.bits, j.score.group.key)):
        best_of_pool[j.score.group.pool or 0] = j
    kept = [j for j in passing if j.score.group.pool is None or best_of_pool[j.score.group.pool] is j]
    kept.sort(
        key=lambda j: (
            j.score.group.pool is not None,
            not j.score.pure,  # other people's calls, in which several campaigns may meet
            unseparated(pop, j.score.group.who[j.score.member]),
            -int(j.score.member.sum()),
            -round(j.bits, 6),
            -int(j.score.group.calls.sum()),
            j.score.group.key,
        )
    )
    everybody = np.array(sorted({w for j in kept for w in j.score.group.who[j.score.member].tolist()}), np.int64)
    piece = dict(zip(everybody.tolist(), components(pop, everybody, cards=True).tolist(), strict=True))
    found: list[Ring] = []
    claimed: dict[int, Ring] = {}
    for j in kept:
        s = j.score
        members = frozenset(s.group.who[s.member].tolist())
        shared: dict[int, int] = {}
        for who in members:
            if who in claimed:
                at = found.index(claimed[who])
                shared[at] = shared.get(at, 0) + 1
        if s.group.pool is not None and any(len(members) < GROWS * len(found[at].accounts) for at in shared):
            continue
        if not shared:
            ring = Ring(j)
            found.append(ring)
        else:
            best = max(shared, key=lambda at: (shared[at], -at))
            ring = found[best]
            if sum(shared.values()) - shared[best] > BRIDGE * len(members):
                continue
            if shared[best] < SAME * len(members) and shared[best] < COVERS * len(ring.accounts):
                continue
        own, most = ring.pieces.most_common(1)[0] if ring.pieces else (None, 0)
        tied = own is not None and most >= max(MIN_PIECE, COVERS * len(ring.accounts))
        mine = frozenset(w for w in members if claimed.get(w, ring) is ring and (not tied or w in ring.accounts or piece[w] == own))
        ring.pieces.update(piece[w] for w in mine - ring.accounts)
        ring.add(j, mine)
        claimed.update(dict.fromkeys(mine, ring))
    return found


def unseparated(pop: Population, who: NDArray[np.int64]) -> bool:
    """Whether accounts fall into several pieces of some size that share no address and no card, so that they may be of two campaigns."""
    if len(who) < 2 * MIN_PIECE:
        return False
    sizes = np.bincount(components(pop, who, cards=True))
    return int((sizes >= MIN_PIECE).sum()) > 1


def calls_until_found(
    pop: Population,
    group: Group,
    events: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    threshold: float,
    texts: int,
) -> int | None:
    """The least number of a group's calls, in time order, from which on its evidence stays above the threshold; None if it does not at the end.

    Every number up to 100 is tried, then steps of a fiftieth; everything outside the group is taken as the whole log shows it.

    Args:
        events: (who, at, repeated, new, text) of the group's calls in time order; ``new`` is 1 for the first call with its text, ``text`` for any with one.
        threshold: bits.
        texts: different texts without which there is no campaign.
    """
    who, at, repeated, new, text = events

    def passes(n: int) -> bool:
        if int(new[:n].sum()) < texts:
            return False
        accounts, where = np.unique(who[:n], return_inverse=True)
        size = len(accounts)
        if size < 3:
            return False
        first, last = np.full(size, np.inf), np.full(size, -np.inf)
        np.minimum.at(first, where, at[:n])
        np.maximum.at(last, where, at[:n])
        counts = np.bincount(where, minlength=size)
        again = np.bincount(where, repeated[:n], size).astype(np.int64)
        different = np.bincount(where, new[:n], size).astype(np.int64)
        written = np.bincount(where, text[:n], size).astype(np.int64)
        clients = group.clients[np.searchsorted(group.who, accounts)]
        grown = replace(
            group,
            who=accounts,
            calls=counts,
            repeated=again,
            texts=different,
            with_text=written,
            first=first,
            last=last,
            clients=clients,
        )
        return score(pop, grown).possible(threshold)

    sizes = [0]
    while sizes[-1] < len(who):
        sizes.append(min(len(who), sizes[-1] + max(1, sizes[-1] // _STEP)))
    found = None
    for n in reversed(sizes[1:]):
        if not passes(n):
            break
        found = n
    return found
