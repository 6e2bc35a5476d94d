"""Third stage: groups of streams, each asked whether it is one hand, a hidden one, and a harvest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

import narwhals as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.watch import campaign, link
from stillwatch.watch.detect.settle import HARNESS, People
from stillwatch.watch.link.steps import Frame
from stillwatch.watch.sketch.content import TECHNIQUES, marks

#: Other customers' prompts that a group's are compared with.
BACKGROUND: Final = 600
#: Groups that are looked at as leads, the likeliest first.
LEADS: Final = 120
#: Prompts of a lead that are looked at, and prompts of any group whose techniques are.
LEAD_SAMPLE: Final = 240
MARKED: Final = 32
#: Accounts with a card of their own that are asked what they ask for.
ASKED: Final = 600
#: Prompts of one of them that are looked at, if a group is made of those that ask.
EACH: Final = 400
#: First prompts of an account that tell what it asks for, and the share of them that must: the rest may be camouflage.
FIRST: Final = 8
ASKS: Final = 0.25
#: A group whose members a campaign has to this share is a part of it, and is not asked again what its prompts are like.
PART: Final = 0.8
#: Share of a larger group's texts below which a part of it is a few.
FEW: Final = 0.2
_SEED: Final = 20260901


@dataclass(slots=True)
class Tested:
    """What the tests gave: ``bits`` of every group that could be a campaign by itself, ``rings`` of those that pass, ``leads`` of those that do not, ``thin`` groups for pooling."""

    people: People
    family_calls: Frame
    by_family: pa.Table
    threshold: float
    prompts: Prompts
    bits: list[float] = field(default_factory=list)
    passing: list[campaign.Judged] = field(default_factory=list)
    rings: list[campaign.Ring] = field(default_factory=list)
    leads: list[campaign.Judged] = field(default_factory=list)
    thin: list[campaign.Score] = field(default_factory=list)
    lone: list[campaign.Lone] = field(default_factory=list)

    lone_threshold: float = 0.0

    @property
    def taken(self) -> frozenset[int]:
        """Accounts of the rings."""
        return frozenset(w for r in self.rings for w in r.accounts)


def test(people: People, *, thin: bool = False) -> Tested:
    """Form groups by family, by client and by address pool, score them, look at the prompts of what can pass, and join what does.

    Args:
        thin: keep groups of few accounts that can pass or are suspicious.
    """
    read, calls = people.read, people.calls
    engine = read.engine
    read.progress.enter("families")
    prints = engine.keep("prints", link.print_calls(calls))
    recurring = engine.keep("recurring", link.recurring(prints))
    families = engine.keep("families", link.group_prints(engine.fetch(link.sampled(prints, recurring))))
    of = engine.keep("call_families", link.call_families(prints, families))
    by_echo = _exchanges(people, prints)
    engine.drop("prints")
    pop = people.pop

    read.progress.enter("streams")
    large = link.family_spread(calls, of).filter(
        ((nw.col("owners") >= 3) & (nw.col("calls") >= 8)) | (nw.col("calls") >= campaign.MIN_CALLS_ALONE)
    )
    in_family = engine.keep("family_calls", link.family_calls(calls, of, engine.keep("large", large)))
    by_family = engine.fetch(link.streams(in_family, ["family"]))

    read.progress.enter("test groups")
    alarms = read.settings.max_false_alarms
    least = campaign.threshold_bits(1, alarms / 2)
    few = max(40, len(pop.accounts) // 50)  # a larger group is no thin ring but a part of the population
    prompts = Prompts(people, in_family)
    tested = Tested(people, in_family, by_family, least, prompts)
    possible: list[campaign.Score] = []
    others: list[campaign.Score] = []
    for group in chain(
        campaign.groups(by_family, ["family"], pop, by_client=True),
        campaign.groups(by_echo, ["picked"], pop, by_client=False),
        campaign.groups(people.by_harness, HARNESS, pop, by_client=False),
        campaign.pool_groups(people.by_harness, HARNESS, pop),
        campaign.card_groups(people.by_harness, pop),
        campaign.institution_groups(people.by_harness, HARNESS, pop),
    ):
        scored = campaign.score(pop, group, least)
        # There may be a million groups; only those that can still pass or be leads are kept whole.
        if scored.possible(least):
            possible.append(scored)
        elif campaign.worth_a_look(pop, scored):
            others.append(scored)
            if len(others) > 4 * LEADS:
                others = campaign.likeliest(others, LEADS)
        if thin and len(group.who) <= few and (scored.possible(least) or scored.suspicious()):
            tested.thin.append(scored)
        # A group with fewer texts can be part of a campaign, never one by itself, but with partners' word; an institution is never one.
        enough = pop.partners or int((group.texts + group.calls - group.with_text).sum()) >= campaign.MIN_TEXTS
        if enough and campaign.INSTITUTION not in group.chosen:
            tested.bits.append(scored.bits)
    tested.lone = campaign.candidates(campaign.lone_streams(by_family), pop)
    # One budget of false alarms: half of it for groups, half for lone accounts.
    tested.threshold = campaign.threshold_bits(len(tested.bits) + len(TECHNIQUES), alarms / 2)
    tested.lone_threshold = campaign.threshold_bits(len(tested.lone), alarms / 2)
    drawn = {s.group.key: replace(s, pool=True) for s in others if s.came_together() and not s.pool and prompts.rotate(s)}
    possible += drawn.values()
    others = [s for s in others if s.group.key not in drawn]
    pieces = [p for s in possible if s.possible(tested.threshold) for p in campaign.apart(pop, s, tested.threshold)]
    others += [s for s in possible if not s.possible(tested.threshold)]
    failed = _passing(tested, pieces, prompts)
    tested.rings = campaign.rings(pop, tested.passing)
    # What is in no campaign yet and shares nothing but cards is brought together by what it asks.
    asking = [campaign.score(pop, g, tested.threshold) for g in prompts.askers(tested.taken)]
    tested.bits += [s.bits for s in asking]
    others += [s for s in asking if not s.possible(tested.threshold)]
    failed += _passing(tested, [s for s in asking if s.possible(tested.threshold)], prompts)
    tested.rings = campaign.rings(pop, tested.passing)
    taken = tested.taken
    failed += _look(tested, [s for s in others if taken.isdisjoint(s.group.who.tolist()) or "payment" not in s.group.chosen], prompts)
    tested.leads = campaign.leads(pop, failed, taken)
    return tested


def _look(tested: Tested, others: Sequence[campaign.Score], prompts: Prompts) -> list[campaign.Judged]:
    """Look at the texts of the groups that are likeliest to be worth a person's look; those of several cards once more together."""
    likely = campaign.likeliest(others, LEADS)
    looked = [campaign.judge(s, h, tested.threshold) for s, h in zip(likely, prompts.harvests(likely, LEAD_SAMPLE), strict=True)]
    cards = campaign.of_cards(looked)
    if len(cards) < 2:
        return looked
    together = campaign.score(tested.people.pop, campaign.joined([j.score.group for j in cards]))
    (harvest,) = prompts.harvests([together], LEAD_SAMPLE)
    if campaign.harvest_bits(harvest) < 0:
        return looked
    return [j for j in looked if j not in cards] + [campaign.judge(together, harvest, tested.threshold)]


def _exchanges(people: People, prints: Frame) -> pa.Table:
    """Streams of the calls whose answers come back in other accounts' prompts, by exchange; ``people`` learn who takes part."""
    engine = people.read.engine
    quotes = engine.keep("quotes", link.quotes(people.calls, prints))
    found = campaign.exchanges(engine.fetch(link.echoes(people.calls, quotes)), len(people.pop.accounts))
    engine.drop("quotes")
    if engine.fetch(link.answered(people.calls)).num_rows:
        people.pop = campaign.with_exchanges(people.pop, found)
    engine.keep("picked_calls", pa.schema([("call", pa.int64()), ("picked", pa.int64())]).empty_table())
    return _pick(people, [e.calls.tolist() for e in found])


def _pick(people: People, sets: Sequence[Sequence[int]], since: int = 0) -> pa.Table:
    """Streams of single calls, by the number of the set that they are in, counted from ``since``; the sets are added to those kept as ``picked_calls``."""
    engine = people.read.engine
    numbers = np.repeat(np.arange(since, since + len(sets)), [len(calls) for calls in sets])
    table = pa.table({"call": pa.array(chain.from_iterable(sets), pa.int64()), "picked": numbers})
    new = engine.add("picked_calls", table).filter(nw.col("picked") >= since)
    return engine.fetch(link.streams(link.harness_calls(people.calls).join(new, on="call", how="inner"), ["picked"]))


def _passing(tested: Tested, pieces: Sequence[campaign.Score], prompts: Prompts) -> list[campaign.Judged]:
    """Judge what can pass, the largest first; returns what does not.

    Groups whose members larger ones have too wait for those to be judged, so that the texts of each round are read in one go and most groups never need any.
    """
    waiting = sorted(pieces, key=lambda s: (s.group.pool is not None, not s.pure, -s.owners, -round(s.bits, 6), s.group.key))
    held: dict[int, campaign.Judged] = {}
    people: dict[int, campaign.Judged] = {}  # whose larger groups showed interests of their own
    failed: list[campaign.Judged] = []
    while waiting:
        now, later, ahead = [], [], set(held)
        for s in waiting:
            members = s.group.who[s.member].tolist()
            known = [w for w in members if w in held]
            if len(known) >= PART * len(members) and not s.pure:
                continue  # other people's calls, among which some of the campaign's accounts hide
            if len(known) >= PART * len(members):
                # Only what a class convicts brings in accounts of its own: people who met at one place stand out in mixed company too.
                own = s if s.stands(tested.threshold) else replace(s, member=s.member & np.isin(s.group.who, known))
                tested.passing.append(campaign.Judged(own, held[known[0]].harvest, s.bits, s.findings))
            elif sum(w in ahead for w in members) >= PART * len(members):
                later.append(s)
            else:
                now.append(s)
                ahead.update(members)
        for s, h in zip(now, prompts.harvests(now, campaign.SAMPLE), strict=True):
            members = s.group.who[s.member].tolist()
            seen = [w for w in members if w in people]
            # What most of their calls show holds for a few of them; but a harvest stands beside camouflage.
            told = not h.clear and len(seen) >= PART * len(members) and h.texts < FEW * people[seen[0]].harvest.texts
            j = campaign.judge(s, people[seen[0]].harvest if told else h, tested.threshold)
            if j.passes:
                tested.passing.append(j)
                held.update(dict.fromkeys(members, j))
                continue
            failed.append(j)
            if j.harvest.own:
                people |= {w: j for w in members if w not in people or people[w].harvest.texts < j.harvest.texts}
        waiting = later
    return failed


class Prompts:
    """What groups' prompts are like, read from the spool; each prompt's words are kept while groups are judged."""

    def __init__(self, people: People, family_calls: Frame) -> None:
        self._people, self._family_calls = people, family_calls
        self._words: dict[int, campaign.Words] = {}
        self._segments: dict[int, list[tuple[str, str]]] = {}
        self._shown: dict[int, frozenset[str]] = {}
        self._tables: dict[str, dict[str, NDArray[np.int64]]] = {}
        self._order: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None = None
        self._background: tuple[campaign.Background, dict[str, float]] | None = None

    def harvests(self, scores: Sequence[campaign.Score], sample: int) -> list[campaign.Harvest]:
        """Look at the prompts of groups' members; the same calls are looked at whatever the order of the log's lines."""
        chosen = []
        for s in scores:
            call, who, text = self.calls(s)
            mine = np.isin(who, s.group.who[s.member] if s.member.any() else s.group.who) & (text != 0)
            chosen.append((call[mine][:sample].tolist(), who[mine][:sample], len(np.unique(text[mine]))))
        self._read(c for calls, _, _ in chosen for c in calls)
        others, usual = self._others()
        out = []
        for calls, who, texts in chosen:
            tally = Counter(m for c in calls[:MARKED] for m in self._marks(c))
            shares = ((k, n / len(calls[:MARKED]), usual.get(k, 0.0)) for k, n in tally.items())
            marked = max(shares, key=lambda m: (m[1] / max(m[2], 0.01), m[0]), default=("", 0.0, 0.0))
            out.append(campaign.examine([self._word(c) for c in calls], who, texts, others, np.random.default_rng(_SEED), marked))
        return out

    def calls(self, s: campaign.Score) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(call, who, text) of a group's calls, in an order that no line order changes."""
        g = s.group
        if g.family is not None:
            t = self._table("family", self._family_calls, ["call", "family", "client", "who", "text", "order"], "family")
            a, b = (
                np.searchsorted(t["family"], [g.family, g.family + 1])
                if g.family < np.iinfo(np.int64).max
                else (np.searchsorted(t["family"], g.family), None)
            )
            rows = {k: v[a:b] for k, v in t.items()}
            keep = np.ones(len(rows["call"]), bool) if g.client is None else rows["client"] == g.client
        else:
            rows = self._table("all", self._people.calls, ["call", "client", "system", "tools", "who", "text", "order"], "who")
            keep = np.isin(rows["who"], g.who)
            if g.picked is not None:
                mine = self._table("picked", self._people.read.engine.table("picked_calls"), ["call", "picked"], "picked")
                keep &= np.isin(rows["call"], mine["call"][mine["picked"] == g.picked])
            if len(g.key) >= 3:
                for name, value in zip(("client", "system", "tools"), g.key, strict=False):
                    keep &= rows[name] == value
        place = np.argsort(rows["order"][keep], kind="stable")
        return rows["call"][keep][place], rows["who"][keep][place], rows["text"][keep][place]

    def askers(self, taken: frozenset[int]) -> Iterator[campaign.Group]:
        """Calls of accounts on shared cards, in no campaign yet, that ask for the same training material, each in words and by a client of its own."""
        pop = self._people.pop
        sharing = np.setdiff1d(campaign.card_sharers(pop), list(taken))
        codes = pop.payment.codes
        own = np.flatnonzero((codes >= 0) & ~pop.declared)
        own = own[pop.payment.counts[codes[own]] == 1]
        asking = {m: who for m, who in sorted(self._asking(sharing).items()) if len(who) >= campaign.MIN_OWNERS}
        if not asking or len(own) < campaign.MIN_OTHERS:
            return
        _, everybody, _, one = self._ordered()
        others = everybody[one[np.isin(everybody[one], own)]][:ASKED]
        usual = self._asking(others)
        beside = [math.ceil((len(usual.get(m, ())) + 1) / (len(others) + 1) * len(own)) for m in asking]
        since = len(pop.echo_weights)  # exchanges were picked before
        self._tables.pop("picked", None)
        rows = _pick(self._people, [self._asked(m, who) for m, who in asking.items()], since)
        for g in campaign.groups(rows, ["picked"], pop, by_client=False):
            assert g.picked is not None
            yield replace(g, beside=beside[g.picked - since], chosen=frozenset({campaign.CONTENT}))

    def _asking(self, accounts: NDArray[np.int64]) -> dict[str, list[int]]:
        """Technique -> those of the accounts of whose first prompts a fair share shows its marks."""
        out: dict[str, list[int]] = {}
        for w, calls in self._prompts(accounts, FIRST).items():
            for mark, n in Counter(m for c in calls for m in self._marks(c)).items():
                if n >= max(2, ASKS * len(calls)):
                    out.setdefault(mark, []).append(w)
        return out

    def _asked(self, mark: str, accounts: list[int]) -> list[int]:
        """The accounts' calls that show the mark."""
        each = self._prompts(np.array(accounts, np.int64), EACH)
        return [c for calls in each.values() for c in calls if mark in self._marks(c)]

    def _prompts(self, accounts: NDArray[np.int64], most: int) -> dict[int, list[int]]:
        """Account -> its first prompts, which are read."""
        call, who, since, _ = self._ordered()
        mine = np.isin(who, accounts) & (since < most)
        out: dict[int, list[int]] = {}
        for c, w in zip(call[mine].tolist(), who[mine].tolist(), strict=True):
            out.setdefault(w, []).append(c)
        self._read(c for calls in out.values() for c in calls)
        return out

    def rotate(self, s: campaign.Score) -> bool:
        """Whether a group's own calls come from a pool that its members draw from, wherever the rest of their traffic comes from: stolen keys have holders."""
        call, who, _ = self.calls(s)
        engine = self._people.read.engine
        mine = engine.keep("rotating", pa.table({"call": call[np.isin(who, s.group.who[s.member])]}))
        known = (
            self._people.calls.select("call", "who", "address_ref")
            .filter(~nw.col("address_ref").is_null())
            .join(mine, on="call", how="semi")
        )
        each = engine.fetch(known.group_by("who").agg(addresses=nw.col("address_ref").n_unique(), calls=nw.len()))
        engine.drop("rotating")
        return campaign.rotates(each.column("addresses").to_numpy(), each.column("calls").to_numpy())

    def _table(self, name: str, frame: Frame, columns: list[str], by: str) -> dict[str, NDArray[np.int64]]:
        if name not in self._tables:
            table = self._people.read.engine.fetch(frame.select(*columns))
            order = np.argsort(table.column(by).to_numpy(), kind="stable")
            self._tables[name] = {c: table.column(c).to_numpy()[order] for c in columns}
        return self._tables[name]

    def _read(self, calls: Iterable[int]) -> None:
        """Read the texts of calls that have not been read yet."""
        self._segments |= self._people.read.spool.texts(c for c in dict.fromkeys(calls) if c not in self._segments)

    def _word(self, call: int) -> campaign.Words:
        if call not in self._words:
            self._words[call] = campaign.words_of("\n".join(t for role, t in self._segments[call] if role != "system"))
        return self._words[call]

    def _marks(self, call: int) -> frozenset[str]:
        if call not in self._shown:
            self._shown[call] = frozenset(marks(self._segments[call]))
        return self._shown[call]

    def _others(self) -> tuple[campaign.Background, dict[str, float]]:
        """One prompt each of a sample of customers."""
        if self._background is None:
            call, _, _, one = self._ordered()
            chosen = call[one[:BACKGROUND]].tolist()
            self._read(chosen)
            tally = Counter(m for c in chosen for m in self._marks(c))
            self._background = campaign.background([self._word(c) for c in chosen]), {k: n / len(chosen) for k, n in tally.items()}
        return self._background

    def _ordered(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """(call, who, how many prompts of the account come before) of all prompts, account by account, and where one of each account stands, in an order of chance.

        No line order changes either order.
        """
        if self._order is None:
            t = self._table("all", self._people.calls, ["call", "client", "system", "tools", "who", "text", "order"], "who")
            place = np.lexsort((t["order"], t["who"]))
            place = place[t["text"][place] != 0]
            who = t["who"][place]
            since = np.arange(len(who)) - np.searchsorted(who, who)
            one = np.flatnonzero(since == 0)
            self._order = t["call"][place], who, since, one[np.argsort(t["order"][place][one], kind="stable")]
        return self._order
