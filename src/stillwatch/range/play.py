"""The game: a defence looks at each day's log, an adversary with a budget answers its bans.

The adversary sees only which of its accounts no longer work.  After a ban of a fifth of them or more it takes the next step of ``LADDER``; each banned
account is replaced while the money lasts.  A replacement costs an account, its share of a card and a share of the pool; calls are paid as they are sent.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from stillwatch.range.campaigns import Operator, harvest, recruit
from stillwatch.range.errors import SpecError
from stillwatch.range.honest import chatting, honest
from stillwatch.range.people import DAY, Account, Place, waking
from stillwatch.range.ring import Ring
from stillwatch.range.spec import WorldSpec
from stillwatch.range.world import complete, line, write_accounts, write_calls

#: What the adversary changes, one step after each wave of bans; the last step is kept.
LADDER: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"variants": 50, "camouflage": 2.0},
    {"accounts_per_card": 1, "mail": "people"},
    {"slower": 0.5, "languages": 5, "clients": 5, "pool": 2.0},
    {"techniques": {"bare": 1.0}, "sanitised": True, "clients": 1},
    {"addresses_per_account": 2, "age_days": 90.0, "verified": 0.6, "slower": 0.5},
)
_WAVE: Final = 0.2

#: Given the folder of a day (calls.jsonl.gz, accounts.csv), the accounts that the defence finds from all days so far.
Watch = Callable[[Path], set[str]]


class Day(msgspec.Struct, frozen=True):
    """The state of the game at the end of a day; counts are since the beginning, money in dollars."""

    day: int
    active: int  # accounts that work
    harvested: int  # exchanges
    spent: float
    banned: int
    honest_touched: int
    step: int  # of the ladder


class Stage(msgspec.Struct, frozen=True):
    """One way of harvesting, from the day it began; ``until_found`` is the exchanges before the first of its accounts was found, None if never."""

    step: int
    day: int
    harvested: int
    until_found: int | None
    found_day: int | None


class Outcome(msgspec.Struct, frozen=True):
    """A game."""

    name: str
    seed: int
    defended: bool
    days: tuple[Day, ...]
    stages: tuple[Stage, ...]

    @property
    def harvested(self) -> int:
        """Exchanges over the whole game."""
        return self.days[-1].harvested if self.days else 0

    @property
    def per_1000_dollars(self) -> float:
        """Exchanges for each 1,000 dollars spent."""
        spent = self.days[-1].spent if self.days else 0.0
        return 1000.0 * self.harvested / spent if spent else 0.0


@dataclass(slots=True)
class _Adversary:
    """The player with the money."""

    place: Place
    ring: Ring
    rng: Random
    money: float
    step: int = 0
    slower: float = 1.0
    recruited: int = 0
    harvested: int = 0
    spent: float = 0.0
    active: dict[str, tuple[Account, int, int]] = field(default_factory=dict)  # with number and step
    operators: list[Operator] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, day: int) -> None:
        """Set up the present step: buy its pool."""
        self.operators.append(Operator(self.ring, Place(self.place.spec, self.place.seed * 1000 + self.step)))
        self.stages.append({"step": self.step, "day": day, "harvested": 0, "until_found": None, "found_day": None})
        self.pay(self.ring.pool * self.place.spec.prices.address)

    def pay(self, cost: float) -> bool:
        """Spend, if there is so much."""
        if cost > self.money - self.spent:
            return False
        self.spent += cost
        return True

    def hire(self, n: int, at: float) -> None:
        """Open up to ``n`` accounts."""
        prices, ring = self.place.spec.prices, self.ring
        each = prices.card / ring.accounts_per_card + ring.verified * prices.verified_account + (1 - ring.verified) * prices.account
        for _ in range(n):
            if not self.pay(each):
                return
            created = at - self.rng.uniform(0, ring.age_days) * DAY
            who = recruit(self.rng, self.operators[-1], self.recruited, created)
            self.active[who.account] = (who, self.recruited, len(self.stages) - 1)
            self.recruited += 1

    def lose(self, banned: set[str], day: int, at: float) -> None:
        """Answer a ban."""
        spec = self.place.spec
        gone = banned & self.active.keys()
        wave = len(gone) >= _WAVE * max(1, len(self.active))
        for account in gone:
            del self.active[account]
        if gone and wave and spec.play.adapt and self.step + 1 < len(LADDER):
            self.step += 1
            change = dict(LADDER[self.step])
            self.slower *= change.pop("slower", 1.0)
            change["pool"] = math.ceil(self.ring.pool * change.pop("pool", 1.0))
            self.ring = msgspec.structs.replace(self.ring, **change)
            self.begin(day)
        self.hire(len(gone), at)

    def work(self, day: int) -> list[bytes]:
        """Send a day's calls, as far as they can be paid."""
        spec, rows = self.place.spec, []
        begin = self.place.begin + day * DAY
        for who, number, stage in list(self.active.values()):
            of = self.operators[stage]
            n = int(spec.play.calls_per_day * self.slower + self.rng.random())
            ordinary = int(n * of.ring.camouflage + self.rng.random())
            if not self.pay((n + ordinary) * spec.prices.calls / 1000):
                continue
            for _ in range(n):
                call = harvest(self.rng, of, who, self.rng.uniform(begin, begin + DAY), self.harvested, number % of.ring.clients)
                rows.append(line(call, f"play/{self.harvested}", self.rng))
                self.harvested += 1
                self.stages[stage]["harvested"] += 1
            times = waking(self.rng, begin, 1.0, ordinary, begin)
            for at, call in enumerate(chatting(self.rng, self.place, who, times, f"camouflage:{self.ring.name}")):
                rows.append(line(call, f"chat/{day}/{number}/{at}", self.rng))
        return rows

    def noticed(self, found: Iterable[str], day: int) -> None:
        """Note the first finding of each stage."""
        for account in found:
            stage = self.stages[self.active[account][2]] if account in self.active else None
            if stage is not None and stage["until_found"] is None:
                stage.update(until_found=stage["harvested"], found_day=day)


def honest_days(place: Place) -> tuple[list[list[bytes]], dict[str, Account]]:
    """The honest customers' rows by day, and their accounts."""
    days: list[list[bytes]] = [[] for _ in range(math.ceil(place.spec.days))]
    accounts: dict[str, Account] = {}
    for name, units, _, make in honest(place):
        seed = f"{place.seed}/{place.lab}/{name}"
        for index in range(units):
            noise = Random(f"{seed}/noise/{index}")
            for at, call in enumerate(make(Random(seed), Random(f"{seed}/{index}"), index)):
                day = int((call.at - place.begin) // DAY)
                if 0 <= day < len(days):
                    complete(place, call, noise)
                    accounts.setdefault(call.account.account, call.account)
                    days[day].append(line(call, f"{index}/{at}", noise))
    for rows in days:
        rows.sort()
    return days, accounts


def play(spec: WorldSpec, *, seed: int, folder: Path, watch: Watch | None, progress: Callable[[int], None] = lambda _: None) -> Outcome:
    """Play the first campaign of ``spec`` against ``watch``.

    Args:
        folder: where the days' logs are written, each in a folder of its own with accounts.csv and the truth.
        watch: the defence; None lets the adversary harvest undisturbed, and no log is written.
        progress: told each day that is over.

    Raises:
        SpecError: the spec has no campaign.
    """
    if not spec.campaigns:
        raise SpecError(f"{spec.name}: a game needs a campaign; add [[campaigns]]")
    place = Place(spec, seed)
    days, customers = honest_days(place) if watch else ([[] for _ in range(math.ceil(spec.days))], {})
    player = _Adversary(place, spec.campaigns[0], Random(f"{seed}/play"), spec.play.budget)
    player.begin(0)
    player.hire(player.ring.accounts, place.begin)
    known: dict[str, Account] = {}
    found: dict[str, int] = {}
    banned: set[str] = set()
    touched: set[str] = set()
    out = []
    for day, rows in enumerate(days):
        due = {a for a, when in found.items() if when + spec.play.delay <= day} - banned
        banned |= due
        player.lose(due, day, place.begin + day * DAY)
        known.update({a: who for a, (who, _, _) in player.active.items()})
        sent = sorted(player.work(day))
        if watch:
            here = folder / f"day-{day + 1:03d}"
            here.mkdir(parents=True, exist_ok=True)
            write_calls(here, heapq.merge(rows, sent))
            write_accounts(here, [*customers.values(), *known.values()])
            flagged = watch(here)
            player.noticed(sorted(flagged), day + 1)
            for account in flagged:
                found.setdefault(account, day + 1)
            touched |= flagged - known.keys()
        out.append(
            Day(
                day + 1, len(player.active), player.harvested, round(player.spent, 2), len(banned & known.keys()), len(touched), player.step
            )
        )
        progress(day + 1)
    return Outcome(spec.name, seed, watch is not None, tuple(out), tuple(Stage(**s) for s in player.stages))
