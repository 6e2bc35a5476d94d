"""Echo: answers that one account received come back in another account's prompts.

A pipeline whose stages (evolve, judge, clean, refine) run over a load balancer sends one account's answer on through another, whatever cards, addresses,
clients and words the accounts have.  Accounts that quote and are quoted, each with several others, are put together here; a teacher who grades pasted
essays, a forum's favourite answer, a pair of colleagues are not, for nobody there is on both sides of three others.

Bits are the lesser of two answers.  *Unrelated customers*: how few accounts of a log whose customers meet by chance alone would exchange so much,
any such choice of accounts counted (a first-moment bound, so a p-value).  *People who know each other*: a person's answer comes back first at home, in
the account that received it, at least every second time; under a load balancer nearly never.  The second is a likelihood ratio of answers that come back, a
mean of a few alternatives, and an e-value if returns are independent given the accounts; that the accounts were chosen by the same returns is not
corrected for, which ``tests/watch/campaign/test_echo.py`` examines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from scipy.special import gammaln

from stillwatch.watch.campaign.classes.base import CLASS_CAP, Finding, Group, most_common
from stillwatch.watch.campaign.population import Population

#: Other owners that each account exchanges with, in either direction; it must quote and be quoted.
PARTNERS: Final = 3
#: Accounts joined to others by less than this share of their exchanges (the smaller side's) are a group of their own.
SPARSE: Final = 0.1
#: Groups of more accounts than this are cut with the sparse solver.
DENSE: Final = 400
#: Bits this class may weigh at most.
CAP: Final = CLASS_CAP
#: Share of a group's owners that one exchange must have before its weight is the group's.
CORE: Final = 1 / 3
#: So many accounts of a group must take part, with so many of its calls each (median), for the others in it to belong too.
MANY: Final = 8
OFTEN: Final = 4
#: Of pairs of unrelated customers at least this share exchange an answer by chance, however few are seen to.
FLOOR: Final = 1e-5
#: Share of returning answers that come home: at least this among people; the alternatives, beside an even deal over the accounts.
HOME: Final = 0.5
_AT_HOME: Final = (0.1, 0.2, 0.3)

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Echo:
    """Answers that come back in one another's prompts."""

    id: str = "echo"
    convicts: bool = True
    techniques: tuple[str, ...] = ("D06",)

    def finding(self, pop: Population, group: Group, reps: NDArray[np.intp]) -> Finding:
        """The bits of the exchange that most of the group's owners take part in."""
        if pop.echo is None:
            return Finding(self.id, 0.0, "Echo: not assessed, the log holds no answers.", assessed=False)
        number, n = _main(pop.echo[group.who[reps]])
        if n < CORE * len(reps) or n <= PARTNERS:
            return Finding(self.id, 0.0, "Echo: hardly any of these accounts' answers come back in one another's prompts.", cap=CAP)
        bits, text = pop.echo_weights[number]
        return Finding(self.id, max(0.0, bits), text, cap=CAP)

    def membership(self, pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Who takes part belongs; who sends several such calls beside so many who do probably does, unless he takes part in another."""
        if pop.echo is None:
            return np.zeros(len(group.who))
        codes = pop.echo[group.who]
        number, n = _main(codes[reference])
        if n < CORE * max(1, int(reference.sum())) or n <= PARTNERS or pop.echo_weights[number][0] <= 0:
            return np.zeros(len(group.who))
        # A tool's wording is used again and again by many of a ring; in a question that many ask, a few of a ring meet strangers.
        beside = n >= MANY and np.median(group.calls[codes == number]) >= OFTEN
        apart = float(
            np.log2((codes[reference] != number).sum() + 0.5) - np.log2(reference.sum() + 1)
        )  # nearly all who do not take part are others
        return np.where(codes == number, 8.0, np.where(codes >= 0, -8.0, np.where(beside & (group.calls > 1), 5.0, apart)))

    def shown(self, pop: Population, who: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Accounts of the commonest exchange."""
        return np.ones(len(who), bool) if pop.echo is None else most_common(pop.echo[who])


def _main(codes: Ints) -> tuple[int, int]:
    """(the most frequent exchange, how often it occurs)."""
    known = codes[codes >= 0]
    if not len(known):
        return -1, 0
    tally = np.bincount(known)
    return int(tally.argmax()), int(tally.max())


def with_exchanges(pop: Population, found: Sequence[Exchange]) -> Population:
    """The population with what its accounts exchange."""
    of = np.full(len(pop.accounts), -1, np.int64)
    for number, e in enumerate(found):
        of[e.who] = number
    return replace(pop, echo=of, echo_weights=tuple((e.bits, e.text) for e in found))


@dataclass(frozen=True)
class Exchange:
    """Accounts that send one another's answers on.

    Attributes:
        who: the accounts, ascending; each quotes, is quoted and exchanges with at least ``PARTNERS`` other owners among them.
        beside: accounts, ascending, that exchange with at least two of them and are not of them: they may belong, and weigh nothing.
        quotes: rows of ``link.echoes`` between accounts of ``who``, of different owners, in time order.
        away: answers of theirs that came back first in another of these accounts.
        home: answers of theirs that came back first to whoever had received them, by a client that also quotes.
        bits: evidence of one hand, at most ``CAP``; may be negative.
    """

    who: Ints
    beside: Ints
    quotes: pa.Table
    away: int
    home: int
    bits: float

    @cached_property
    def calls(self) -> Ints:
        """Numbers of the calls that were answered what came back, or sent it, ascending."""
        both = [self.quotes.column(c).to_numpy() for c in ("answer", "quote")]
        return np.unique(np.concatenate(both)).astype(np.int64)

    def examples(self, n: int) -> list[tuple[int, int]]:
        """(call that was answered, call that quotes it), those that share most words first, each answer and each quote once."""
        rows = self.quotes.sort_by([("shingles", "descending"), ("at", "ascending"), ("said_at", "ascending")])
        out: list[tuple[int, int]] = []
        seen: set[int] = set()
        for pair in zip(rows.column("answer").to_pylist(), rows.column("quote").to_pylist(), strict=True):
            if len(out) < n and seen.isdisjoint(pair):
                out.append(pair)
                seen.update(pair)
        return out

    @property
    def text(self) -> str:
        """What the evidence is, in a sentence."""
        return (
            f"Echo: {len(self.who)} accounts sent prompts that hold answers which only another of these accounts had received, and had theirs come back in turn; "
            f"{self.quotes.num_rows} such quotes, and of the answers that came back {self.away} came first to another of them and {self.home} to their own account."
        )


def exchanges(echoes: pa.Table, accounts: int) -> list[Exchange]:
    """The groups of accounts that send one another's answers on, the largest first.

    Args:
        echoes: see ``link.echoes``, in any row order.
        accounts: how many the log has.
    """
    rows = echoes.filter(pc.not_equal(echoes.column("owner"), echoes.column("said_owner")))
    said, who = (rows.column(c).to_numpy() for c in ("said_who", "who"))
    owner = np.zeros(accounts, np.int64)
    owner[said], owner[who] = rows.column("said_owner").to_numpy(), rows.column("owner").to_numpy()
    pairs = np.unique(np.stack([said, who]), axis=1) if len(said) else np.empty((2, 0), np.int64)
    found = [_weighed(group, pairs, rows, echoes, accounts) for group in _groups(pairs, owner)]
    return sorted(found, key=lambda e: (-len(e.who), int(e.who[0])))


def _groups(pairs: Ints, owner: Ints) -> Iterator[Ints]:
    """Accounts that all quote, are quoted and have enough partners among themselves, joined by more than a handful of exchanges."""
    pairs = _peeled(pairs, owner)
    names, ends = np.unique(pairs, return_inverse=True)
    if not len(names):
        return
    ends = ends.reshape(2, -1)
    ties = csr_array((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(len(names),) * 2)
    count, label = connected_components(ties, directed=False)
    if count == 1:
        label = _halves(len(names), ends)
        if label is None:
            yield names
            return
    for k in range(int(label.max()) + 1):
        yield from _groups(pairs[:, (label[ends[0]] == k) & (label[ends[1]] == k)], owner)


def _peeled(pairs: Ints, owner: Ints) -> Ints:
    """The pairs left when accounts that do not quote, are not quoted or have too few partners are taken out, again and again."""
    while pairs.shape[1]:
        size = int(pairs.max()) + 1
        met = np.unique(np.c_[np.r_[pairs[0], pairs[1]], owner[np.r_[pairs[1], pairs[0]]]], axis=0)
        good = np.bincount(met[:, 0], minlength=size) >= PARTNERS
        good &= (np.bincount(pairs[0], minlength=size) > 0) & (np.bincount(pairs[1], minlength=size) > 0)
        kept = good[pairs[0]] & good[pairs[1]]
        if kept.all():
            break
        pairs = pairs[:, kept]
    return pairs


def _halves(n: int, ends: Ints) -> Ints | None:
    """[n] 0 or 1 where few exchanges join two parts, else None: a sweep along the second eigenvector (Cheeger's inequality)."""
    least = PARTNERS + 1
    if n < 2 * least:
        return None
    a, b = np.unique(np.sort(ends, axis=0), axis=1)
    degree = (np.bincount(a, minlength=n) + np.bincount(b, minlength=n)).astype(float)
    scale = 1 / np.sqrt(degree)
    half = csr_array((scale[a] * scale[b], (a, b)), shape=(n, n))
    whole: Any = half + half.T
    full = n <= DENSE
    vector = np.linalg.eigh(whole.toarray())[1][:, -2] if full else eigsh(whole, k=2, which="LA", v0=np.arange(1.0, n + 1))[1][:, 0]
    order = np.argsort(vector * scale, kind="stable")
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    low, high = np.minimum(place[a], place[b]), np.maximum(place[a], place[b])
    crossing = np.cumsum(np.bincount(low, minlength=n) - np.bincount(high, minlength=n))[:-1]
    volume = np.cumsum(degree[order])[:-1]
    share = crossing / np.minimum(volume, degree.sum() - volume)
    share[: least - 1] = share[n - least :] = np.inf
    best = int(np.argmin(share))
    return (place > best).astype(np.int64) if share[best] < SPARSE else None


def _weighed(who: Ints, pairs: Ints, cross: pa.Table, echoes: pa.Table, accounts: int) -> Exchange:
    said_in, who_in = np.isin(cross.column("said_who").to_numpy(), who), np.isin(cross.column("who").to_numpy(), who)
    order = [(c, "ascending") for c in ("at", "said_at", "said_who", "who")]
    quotes = cross.filter(pa.array(said_in & who_in)).sort_by(order)
    away, home = _returns(who, quotes, echoes)
    inside = np.isin(pairs, who)
    met = np.unique(np.sort(pairs[:, inside[0] != inside[1]], axis=0), axis=1)
    strangers, often = np.unique(met[~np.isin(met, who)], return_counts=True)
    within = int(inside.all(axis=0).sum())
    elsewhere = accounts * (accounts - 1) - len(who) * (len(who) - 1)  # where nobody else is left, nothing can be said
    chance = min(1.0, max(FLOOR, (pairs.shape[1] - within + 1) / max(1, elsewhere)))
    bits = min(CAP, _unrelated_bits(len(who), within, accounts, chance), _people_bits(len(who), away, home))
    return Exchange(who, strangers[often >= 2], quotes, away, home, float(bits))


def _returns(who: Ints, quotes: pa.Table, echoes: pa.Table) -> tuple[int, int]:
    """(answers that came back first to another of these accounts, those that came back first to their own owner)."""
    mine = echoes.filter(pa.array(np.isin(echoes.column("said_who").to_numpy(), who)))
    answer, at = mine.column("answer").to_numpy(), mine.column("at").to_numpy()
    at_home = mine.column("owner").to_numpy() == mine.column("said_owner").to_numpy()
    by = np.lexsort((~at_home, at, answer))
    first = by[np.r_[True, answer[by][1:] != answer[by][:-1]]] if len(by) else by
    # What goes through another client altogether is other work: camouflage is no alibi.
    client = np.isin(mine.column("client").to_numpy(), quotes.column("client").to_numpy())
    there = np.isin(mine.column("who").to_numpy(), who) & ~at_home
    return int(there[first].sum()), int((at_home & client)[first].sum())


def _choose(n: float, k: float) -> float:
    """log2 of the number of ways to choose."""
    return float((gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)) / np.log(2))


def _unrelated_bits(n: int, pairs: int, accounts: int, chance: float) -> float:
    """-log2 of a bound on the chance that any ``n`` of the accounts have so many pairs among them, each pair having ``chance`` independently."""
    ways = _choose(accounts, n) + _choose(n * (n - 1), pairs) + float(np.log2(n * pairs))
    return -(ways + pairs * float(np.log2(chance)))


def _people_bits(n: int, away: int, home: int) -> float:
    """log2 of the likelihood ratio of returning answers: dealt over ``n`` accounts against coming home at least every second time."""
    share = np.array([1 / n, *(s for s in _AT_HOME if s > 1 / n)])
    logs = away * np.log2((1 - share) / (1 - HOME)) + home * np.log2(share / HOME)
    return float(np.logaddexp2.reduce(logs) - np.log2(len(share)))
