"""Detection with partners' word beside one's own evidence; composes the stages of ``watch``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

import narwhals as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillwatch.records import Case
from stillwatch.share.desk.traits import payment_traits
from stillwatch.store import Engine
from stillwatch.watch import campaign
from stillwatch.watch.detect.name import name
from stillwatch.watch.detect.read import Progress, Settings, read
from stillwatch.watch.detect.settle import settle
from stillwatch.watch.detect.tell import tell, write
from stillwatch.watch.detect.test import test
from stillwatch.watch.intake import Identity, canonical
from stillwatch.watch.link.steps import Frame
from stillwatch.watch.sketch import RECIPE

#: Addresses and prompts of an account that are sent for matching.
ADDRESSES: Final = 4
PROMPTS: Final = 32


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A group below the threshold that is worth asking partners about; traits by kind, in clear."""

    bits: float
    accounts: frozenset[str]
    first: float
    last: float


@dataclass(slots=True)
class Look:
    """What partners answered goes in, suspicions and the suspects' traits come out.

    ``asked`` and ``shared`` are values by kind of trait: sent for matching, and found with partners too.  ``groups`` are the accounts of each suspicion of the
    first look.  ``traits`` are account -> kind -> values.  ``inputs`` are digests of what partners answered, for the run's record.
    """

    asked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    shared: Mapping[str, frozenset[str]] = field(default_factory=dict)
    groups: Sequence[frozenset[str]] = ()
    suspicions: list[Suspicion] = field(default_factory=list)
    traits: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    inputs: list[dict[str, object]] = field(default_factory=list)


def look_with(look: Look, settings: Settings, progress: Progress, *, now: float) -> Case:
    """As ``watch.flow.detect``, with partners' word; fills ``look``.  Not with a state.

    Raises:
        IntakeError: the input as a whole cannot be used.
    """
    with ExitStack() as stack:
        logs = read(settings, progress, stack, now=now, remember=True)
        logs.inputs += look.inputs
        people = settle(logs)
        own = _traits(people.pop, people.joined, logs.identity)
        people.pop = _with_partners(people.pop, own, look)
        tested = test(people, thin=True)
        pop = people.pop
        for s in tested.thin:
            hidden = s.group.who[~pop.declared[s.group.who]]
            names = frozenset(pop.accounts[w] for w in hidden)
            look.suspicions.append(Suspicion(s.bits, names, float(s.group.first.min()), float(s.group.last.max())))
            look.traits.update((pop.accounts[w], own[w]) for w in hidden)
        if look.traits:
            place = {a: i for i, a in enumerate(pop.accounts)}
            suspects = pa.table({"who": pa.array(sorted(place[a] for a in look.traits), pa.int64())})
            for who, some in _prompts(logs.engine, people.calls, suspects).items():
                own[who]["template"] = some
            look.traits = {a: own[place[a]] for a in look.traits}
        told = name(tell(tested))
        write(told)
    progress.enter("")
    return told.case


def _traits(pop: campaign.Population, joined: Sequence[Mapping[str, object]], identity: Identity) -> list[dict[str, frozenset[str]]]:
    """[accounts] canonical values by kind of trait: cards, addresses, and mail domains that few use."""
    out = []
    few = max(3, len(pop.accounts) // 100)
    for who, row in enumerate(joined):
        mine: dict[str, frozenset[str]] = {}
        if cards := payment_traits(identity.plain(str(row.get("payment_ref"))), identity.plain(str(row.get("par_ref")))):
            mine["payment"] = cards
        box, domain = identity.plain(str(row.get("mail_ref"))), identity.plain(str(row.get("mail_domain_ref")))
        named = {f"mail {canonical(box)}"} if box else set()
        code = pop.mail_domain.codes[who]
        if domain and code >= 0 and pop.mail_domain.counts[code] <= few:
            named.add(f"domain {canonical(domain)}")
        if named:
            mine["registration"] = frozenset(named)
        _, codes = pop.addresses(np.array([who]))
        rarest = sorted(codes.tolist(), key=lambda c: (pop.address_counts[c], c))[:ADDRESSES]
        places = (identity.plain(pop.address_labels[c]) for c in rarest if pop.address_counts[c] <= campaign.CROWD)
        if found := frozenset(canonical(p) for p in places if p):
            mine["network"] = found
        out.append(mine)
    return out


def _prompts(engine: Engine, calls: Frame, suspects: pa.Table) -> dict[int, frozenset[str]]:
    """who -> up to ``PROMPTS`` hashes of prompts of theirs that nobody else here has sent; the least hashes, as at every lab."""
    chosen = calls.join(engine.keep("suspects", suspects), on="who", how="semi").filter(nw.col("text") != 0).select("text")
    senders = calls.join(chosen.unique(), on="text", how="semi").group_by("text").agg(least=nw.col("who").min(), most=nw.col("who").max())
    rows = engine.fetch(senders.filter(nw.col("least") == nw.col("most")).select("text", who="least"))
    engine.drop("suspects")
    by: dict[int, list[int]] = {}
    for who, text in zip(rows.column("who").to_pylist(), rows.column("text").to_pylist(), strict=True):
        by.setdefault(who, []).append(text & (2**64 - 1))
    return {who: frozenset(f"{RECIPE}:{t:016x}" for t in sorted(some)[:PROMPTS]) for who, some in by.items()}


def _with_partners(pop: campaign.Population, own: Sequence[Mapping[str, frozenset[str]]], look: Look) -> campaign.Population:
    """The population with what partners share of each account's traits.

    Who shows one name everywhere - the same mail address or domain of his own, with the same card or address - and is verified or has a domain of his own is
    an open customer of several labs: that is a known relation and no evidence.
    """

    def hits(kind: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        asked, shared = look.asked.get(kind, frozenset()), look.shared.get(kind, frozenset())
        mine = [o.get(kind, frozenset()) for o in own]
        return np.array([bool(m & asked) for m in mine], bool), np.array([bool(m & shared) for m in mine], bool)

    flags, anything = {}, np.zeros(len(own), bool)
    for kind in ("payment", "network"):  # a shared prompt only moves a suspicion up the queue: short ones meet by chance
        asked, shared = hits(kind)
        flags[kind] = np.where(shared, 1, np.where(asked, 0, -1)).astype(np.int8)
        anything |= shared
    _, named = hits("registration")
    domain = np.array([any(v.startswith("domain ") for v in o.get("registration", ())) for o in own], bool)
    open_customer = named & anything & ((pop.verified == 1) | domain)
    for f in flags.values():
        f[open_customer] = -1
    place = {a: i for i, a in enumerate(pop.accounts)}
    rates = {kind: _usual_share(f, look.groups, place) for kind, f in flags.items()}
    return replace(pop, partners=flags, partner_rates=rates, declared=pop.declared | open_customer)


def _usual_share(flags: NDArray[np.int8], groups: Sequence[frozenset[str]], place: Mapping[str, int]) -> float:
    """The median over suspicions of the share of accounts that partners share: few of the suspicions are rings, so rings do not set it."""
    shares = []
    for g in groups:
        mine = flags[[place[a] for a in g if a in place]]
        known = mine[mine >= 0]
        if len(known):
            shares.append(float((known == 1).mean()))
    return float(np.median(shares)) if shares else 0.0
