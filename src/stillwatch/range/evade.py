"""What it costs to stay unseen: a search over bundles of evasions with the defence as the oracle.

A bundle is a set of moves, each a change of the plain ring at a price.  The search tries the plain ring, then each move alone from the cheapest until one is
enough.  Where none is, it tries everything at once and takes moves away, the dearest first, as long as the ring stays unseen.  What runs are left go into
joining moves that did most alone, where the whole is cheaper than the best so far.  It is a search by hand's rules with a bounded number of runs: what it finds
is a price at which one can hide, not the least one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from stillwatch.range.campaigns import member
from stillwatch.range.people import Account, Place
from stillwatch.range.play import honest_days
from stillwatch.range.prices import bill, usable
from stillwatch.range.ring import Ring
from stillwatch.range.spec import WorldSpec
from stillwatch.range.world import complete, line, write_accounts, write_calls

#: move -> (what it is about, so that a bundle has one of a kind; what it changes)
MOVES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "people's mail names": ("mail", {"mail": "people"}),
    "typed-in firms": ("org", {"org": "typed"}),
    "own wording": ("wording", {"wording": "account"}),
    "bare questions": ("wording", {"techniques": {"bare": 1.0}}),
    "own settings and clients": ("settings", {"settings": "account", "agents": "account"}),
    "uneven work, waking hours": ("rhythm", {"calls_spread": "log-normal", "rhythm": "waking"}),
    "a fifth of the items twice": ("overlap", {"overlap": 0.2}),
    "a list sorted by subject": ("list", {"items": "subjects", "order": "sorted"}),
    "two accounts a card": ("cards", {"accounts_per_card": 2}),
    "own cards": ("cards", {"accounts_per_card": 1}),
    "old accounts": ("age", {"age_days": 200.0, "signup_days": 0.0}),
    "bought verification": ("verified", {"verified": 1.0}),
    "a pool ten times as large": ("addresses", {"pool": 600, "addresses_per_account": 2}),
    "own homes": ("addresses", {"pool_kind": "own"}),
    "idle follow-ups": ("follow-ups", {"follow_ups": 0.6}),
    "three ordinary calls each, with interests": ("camouflage", {"camouflage": 3.0, "personas": True}),
    "firms of four with card and domain": ("firm", {"org": "typed", "mail": "firm", "firm": 4, "accounts_per_card": 4, "verified": 1.0}),
    "answers reworded": ("echo", {"launder": 1.0}),
    "jobs kept with one account": ("echo", {"sticky": 1.0}),
    "a college": ("college", {"mail": "college", "verified": 1.0, "pool": 3, "accounts_per_card": 1}),
}
#: What one would do to be sure, without what only tells the ring apart.
EVERYTHING: Final = (
    "people's mail names", "typed-in firms", "own wording", "own settings and clients", "uneven work, waking hours", "own cards", "old accounts",
    "bought verification", "own homes", "idle follow-ups", "three ordinary calls each, with interests", "answers reworded",
)  # fmt: skip
#: A ring is unseen while campaigns hold less than this share of its accounts.
UNSEEN: Final = 0.1


class Seen(msgspec.Struct, frozen=True):
    """What a defence makes of one ring: shares of its accounts in campaigns and in the first leads (None without leads), and honest accounts in campaigns."""

    campaigns: float
    leads: float | None
    honest: int


#: Judges a ring in the world of a seed.
Oracle = Callable[[Ring, int], Seen]


class Attempt(msgspec.Struct, frozen=True):
    """A bundle that was tried; the worst over the seeds.  Money in dollars."""

    moves: tuple[str, ...]
    accounts: int
    campaigns: float
    leads: float | None
    honest: int
    items: dict[str, float]
    total: float
    per_1000: float  # exchanges that can be used
    beyond: float  # ... above what the plain ring pays

    @property
    def unseen(self) -> bool:
        """Whether the ring stayed out of campaigns."""
        return self.campaigns < UNSEEN


class Evasion(msgspec.Struct, frozen=True):
    """The result for one size: the cheapest unseen bundle found, None if none was; everything that was tried; what the best leaves behind."""

    accounts: int
    runs: int
    best: Attempt | None
    tried: tuple[Attempt, ...]
    leaves: tuple[str, ...]


def scaled(plain: Ring, accounts: int) -> Ring:
    """The ring with so many accounts and a pool that grows with them."""
    return msgspec.structs.replace(plain, accounts=accounts, pool=max(1, round(plain.pool * accounts / plain.accounts)))


def _of(plain: Ring, moves: Iterable[str]) -> tuple[str, ...]:
    """Those of the moves that mean something for this ring: only a pipeline has answers that come back."""
    return tuple(m for m in moves if plain.stages or MOVES[m][0] != "echo")


def fits(moves: tuple[str, ...]) -> bool:
    """Whether no two moves are about the same thing."""
    kinds = [MOVES[m][0] for m in moves]
    changed = [field for m in moves for field in MOVES[m][1]]
    return len(set(kinds)) == len(kinds) and len(set(changed)) == len(changed)


def with_moves(plain: Ring, moves: tuple[str, ...]) -> Ring:
    """The plain ring changed by a bundle."""
    changes: dict[str, Any] = {}
    for move in moves:
        changes |= MOVES[move][1]
    return msgspec.structs.replace(plain, **changes)


def leaves(ring: Ring) -> tuple[str, ...]:
    """What the ring's accounts still have in common, for whoever looks with other means."""
    out = []
    if ring.accounts_per_card > 1:
        out.append(f"cards: {ring.accounts_per_card} accounts each")
    if ring.pool_kind != "own":
        out.append(f"addresses: {ring.pool} for {ring.accounts} accounts")
    elif ring.home > 1:
        out.append(f"homes: {ring.home} accounts each")
    if ring.mail != "people":
        out.append(f"mail: {ring.mail}")
    if ring.age_days + ring.signup_days < 30:
        out.append(f"sign-up within {ring.age_days + ring.signup_days:g} days")
    if ring.wording == "shared" and "bare" not in ring.techniques:
        out.append("one wording")
    if ring.settings == "shared":
        out.append("one client and its settings")
    if ring.calls_spread == "even":
        out.append("even work")
    if ring.rhythm == "flat":
        out.append("no hours")
    if not ring.follow_ups:
        out.append("single questions")
    if ring.stages and not ring.launder:
        out.append("answers that come back under another account")
    if ring.order == "dealt":
        out.append("accounts without a field of their own")
    return (*out, "the list itself, at other labs and in the student model")


def search(
    plain: Ring, spec: WorldSpec, oracle: Oracle, *, seeds: tuple[int, ...], runs: int, told: Callable[[Attempt], None] = lambda _: None
) -> Evasion:
    """Look for the cheapest bundle that stays unseen in at most ``runs`` bundles, each judged on every seed until one sees it."""
    tried: dict[frozenset[str], Attempt] = {}
    known_moves = _of(plain, MOVES)
    base = sum(bill(plain, spec.prices, spec.days).values()) / usable(plain) * 1000

    def price(moves: tuple[str, ...]) -> float:
        ring = with_moves(plain, moves)
        return sum(bill(ring, spec.prices, spec.days).values()) / usable(ring) * 1000

    def attempt(moves: tuple[str, ...]) -> Attempt | None:
        known = tried.get(frozenset(moves))
        if known or len(tried) >= runs or not fits(moves):
            return known
        ring = with_moves(plain, moves)
        seen: list[Seen] = []
        for seed in seeds:
            seen.append(oracle(ring, seed))
            if seen[-1].campaigns >= UNSEEN:
                break
        items = bill(ring, spec.prices, spec.days)
        leads = [s.leads for s in seen if s.leads is not None]
        made = Attempt(
            moves, ring.accounts, max(s.campaigns for s in seen), max(leads) if leads else None, max(s.honest for s in seen),
            {k: round(v, 2) for k, v in items.items()}, round(sum(items.values()), 2), round(price(moves), 2), round(price(moves) - base, 2),
        )  # fmt: skip
        tried[frozenset(moves)] = made
        told(made)
        return made

    def best() -> Attempt | None:
        return min((a for a in tried.values() if a.unseen), key=lambda a: (a.per_1000, len(a.moves)), default=None)

    if (first := attempt(())) is None or not first.unseen:
        for move in sorted(known_moves, key=lambda m: price((m,))):
            if (known := best()) and price((move,)) >= known.per_1000:
                break
            attempt((move,))
        if best() is None:  # a move that is enough alone is cheaper than what is left of everything
            _take_away(_of(plain, EVERYTHING), attempt, price)
        _join(known_moves, attempt, price, best, tried)
    found = best()
    return Evasion(plain.accounts, len(tried), found, tuple(tried.values()), leaves(with_moves(plain, found.moves)) if found else ())


def _take_away(
    everything: tuple[str, ...], attempt: Callable[[tuple[str, ...]], Attempt | None], price: Callable[[tuple[str, ...]], float]
) -> None:
    """From everything, the dearest moves first: drop each that is not needed."""
    now = attempt(everything)
    if now is None or not now.unseen:
        return
    moves = everything
    for move in sorted(everything, key=lambda m: -price((m,))):
        fewer = tuple(m for m in moves if m != move)
        without = attempt(fewer)
        if without is not None and without.unseen:
            moves = fewer


def _join(
    known_moves: tuple[str, ...],
    attempt: Callable[[tuple[str, ...]], Attempt | None],
    price: Callable[[tuple[str, ...]], float],
    best: Callable[[], Attempt | None],
    tried: dict[frozenset[str], Attempt],
) -> None:
    """Join moves to the bundles that are seen least, as long as the result is cheaper than the best known."""
    alone = {a.moves[0]: a.campaigns for a in tried.values() if len(a.moves) == 1}
    order = sorted(known_moves, key=lambda m: (alone.get(m, 1.0), price((m,))))
    queue = [(a.campaigns, a.per_1000, a.moves) for a in tried.values() if not a.unseen and len(a.moves) <= 2]
    heapq.heapify(queue)
    while queue:
        _, _, moves = heapq.heappop(queue)
        for move in order:
            more = (*moves, move)
            known = best()
            if move in moves or not fits(more) or frozenset(more) in tried or (known and price(more) >= known.per_1000):
                continue
            made = attempt(more)
            if made is None:
                return
            if not made.unseen:
                heapq.heappush(queue, (made.campaigns, made.per_1000, more))


class Remembered:
    """An oracle that writes each answer to a file of JSON lines and reads it again, so that a search that was stopped goes on."""

    def __init__(self, path: Path, mark: str, oracle: Oracle) -> None:
        """``mark`` names world and defence; answers under another mark are not used."""
        self._path, self._mark, self._oracle = path, mark, oracle
        self._known: dict[tuple[str, int], Seen] = {}
        for one in path.read_bytes().splitlines() if path.exists() else ():
            try:
                row = msgspec.json.decode(one)
            except msgspec.DecodeError:
                continue  # the line that was being written when the search was stopped
            if row["mark"] == mark:
                self._known[row["ring"], row["seed"]] = msgspec.convert(row["seen"], Seen)

    def __call__(self, ring: Ring, seed: int) -> Seen:
        """Judge, or remember."""
        name = msgspec.json.encode(ring).decode()
        if (name, seed) not in self._known:
            seen = self._known[name, seed] = self._oracle(ring, seed)
            with self._path.open("ab") as log:
                log.write(b"\n" + msgspec.json.encode({"mark": self._mark, "ring": name, "seed": seed, "seen": seen}))
        return self._known[name, seed]


class Stage:
    """Worlds that differ in their ring alone: the honest customers of a seed are made once."""

    def __init__(self, spec: WorldSpec) -> None:
        """``spec`` gives the honest customers."""
        self._spec = spec
        self._honest: dict[int, tuple[list[bytes], dict[str, Account]]] = {}

    def build(self, ring: Ring, seed: int, folder: Path) -> None:
        """Write the world of a seed with ``ring`` in it."""
        place = Place(self._spec, seed)
        if seed not in self._honest:
            days, accounts = honest_days(place)
            self._honest[seed] = [row for rows in days for row in rows], accounts
        rows, accounts = self._honest[seed]
        own: list[bytes] = []
        people: dict[str, Account] = {}
        make = partial(member, place, ring)
        label = f"{seed}/campaign:{ring.name}"
        for k in range(ring.accounts):
            noise = Random(f"{label}/noise/{k}")
            for at, call in enumerate(make(Random(label), Random(f"{label}/{k}"), k)):
                complete(place, call, noise)
                people.setdefault(call.account.account, call.account)
                own.append(line(call, f"{k}/{at}", noise))
        own.sort()
        folder.mkdir(parents=True, exist_ok=True)
        write_calls(folder, heapq.merge(rows, own))
        write_accounts(folder, [*accounts.values(), *people.values()])
