"""Which campaign is which: found campaigns keep the names of those that were found before.

A campaign goes on where it shares accounts with an earlier one: half of the smaller side's, or a fifth where they share a family too; never a single account
of several, for an honest account may lie in two campaigns, and never a family alone, for two rings may use one tool.  A ring that replaces 30 % of its accounts
every day shares 70 % with the day before and a quarter with four days before.  Each earlier campaign goes on in at most one found now, and each found now
continues at most one earlier: the pair that shares the most accounts comes first, so the larger part keeps the name.  What is left over is new, and gets a name that was never
used; its lineage names the earlier campaigns that it shares half with.  An earlier campaign that goes on nowhere and shares as much with one found now was joined to it.

Nothing here depends on the order of what is given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from stillwatch.records import Campaign, StreamRow

#: Share of the smaller side's accounts that makes two campaigns one.
HALF: Final = 0.5
#: The same, where a family is shared too.
FIFTH: Final = 0.2


@dataclass(frozen=True, slots=True)
class Sighting:
    """A campaign as a run found it; ``first`` and ``last`` are its first and last call in epoch seconds, ``earliest`` the account of the first."""

    kind: str  # "ring" or "single"
    accounts: frozenset[str]
    families: frozenset[str]
    earliest: str
    first: float
    last: float
    bits: float = 0.0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """An earlier campaign: all accounts and families that it ever had, the number of the run that found it first, and its lineage."""

    id: str
    accounts: frozenset[str]
    families: frozenset[str]
    born: int
    parents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Named:
    """What a found campaign is called.

    ``parents`` is the lineage that this run adds: earlier campaigns that a new one came out of, or that were joined to one that goes on.  ``joined`` are those
    that went on nowhere else.
    """

    id: str
    new: bool
    parents: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()


def fresh_id(kind: str, earliest: str, first: float, again: int = 0) -> str:
    """The name of a campaign that was never found before, by its first call and who sent it.

    So the same ring of the same log has the same name however the log is cut and ordered, and keeps it while the log grows at its end.  ``again`` counts up
    where another campaign has the name already.
    """
    words = [kind, earliest, float(first).hex(), *([str(again)] if again else [])]
    return f"c-{blake2b(chr(0).join(words).encode('utf-8', 'replace'), digest_size=5, person=b'sw-campaign').hexdigest()}"


def sighting(c: Campaign) -> Sighting:
    """A campaign of a run as a sighting."""
    return Sighting(
        c.kind, frozenset(s.account for s in c.streams), frozenset(c.families), sender_of_first(c.streams), c.first, c.last, c.bits, c.calls
    )


def sender_of_first(streams: Sequence[StreamRow]) -> str:
    """The account of the first call; of several at one time the least."""
    return min((s.first, s.account) for s in streams)[1]


def assign(found: Sequence[Sighting], known: Collection[Known]) -> list[Named]:
    """A name for each campaign found, in the order given."""
    rank = {at: n for n, at in enumerate(sorted(range(len(found)), key=lambda at: _self(found[at])))}
    before = {k.id: k for k in known}
    pairs = _pairs(found, before.values())
    # The most shared accounts first; of as many, those that are more alike, then the older campaign.
    pairs.sort(key=lambda p: (-p.shared, -p.alike, before[p.id].born, p.id, rank[p.at]))
    own: dict[int, str] = {}
    going: set[str] = set()
    for p in pairs:
        if p.goes_on and p.at not in own and p.id not in going:
            own[p.at] = p.id
            going.add(p.id)
    joined: dict[int, list[str]] = defaultdict(list)
    touched: dict[int, list[str]] = defaultdict(list)
    gone: set[str] = set()
    for p in pairs:
        touched[p.at].append(p.id)
        if p.id not in going and p.id not in gone:
            joined[p.at].append(p.id)
            gone.add(p.id)
    parents = {k.id: set(k.parents) for k in known}
    names: dict[int, Named] = {}
    used = set(before)
    for at in sorted(rank, key=rank.__getitem__):
        s = found[at]
        if at in own:
            new = [i for i in sorted(joined[at]) if own[at] not in _ancestors(i, parents)]
            parents[own[at]].update(new)
            names[at] = Named(own[at], False, tuple(new), tuple(sorted(joined[at])))
        else:
            name = next(i for n in range(len(used) + 1) if (i := fresh_id(s.kind, s.earliest, s.first, n)) not in used)
            used.add(name)
            names[at] = Named(name, True, tuple(sorted(touched[at])), tuple(sorted(joined[at])))
    return [names[at] for at in range(len(found))]


@dataclass(frozen=True, slots=True)
class _Pair:
    at: int  # place among those found
    id: str
    shared: int
    alike: float  # shared accounts of all that the two have
    goes_on: bool


def _pairs(found: Sequence[Sighting], known: Iterable[Known]) -> list[_Pair]:
    """The pairs that share enough to be tied."""
    where: dict[str, list[int]] = defaultdict(list)
    for at, s in enumerate(found):
        for account in s.accounts:
            where[account].append(at)
    out = []
    for k in known:
        shared: dict[int, int] = defaultdict(int)
        for account in k.accounts:
            for at in where.get(account, ()):
                shared[at] += 1
        for at, n in shared.items():
            s = found[at]
            least, most = sorted((len(s.accounts), len(k.accounts)))
            share = n / least
            single = most == 1  # one account alone, then and now
            goes_on = single or (n > 1 and share >= (FIFTH if s.families & k.families else HALF))
            if goes_on or share >= HALF:
                out.append(_Pair(at, k.id, n, n / (least + most - n), goes_on))
    return out


def _ancestors(name: str, parents: Mapping[str, Collection[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [name]
    while todo:
        for parent in parents.get(todo.pop(), ()):
            if parent not in seen:
                seen.add(parent)
                todo.append(parent)
    return seen


def _self(s: Sighting) -> tuple[object, ...]:
    """By which two campaigns found in one run are told apart."""
    return fresh_id(s.kind, s.earliest, s.first), sorted(s.accounts), sorted(s.families), s.last, s.bits, s.calls
