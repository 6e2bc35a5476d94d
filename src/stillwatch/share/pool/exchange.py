"""Pooled detection: suspicions go out blinded, what partners share comes back as evidence beside one's own."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import rfc8785

from stillwatch.records import Case
from stillwatch.share.desk import sharing
from stillwatch.share.desk.desk import Desk, write_private
from stillwatch.share.hub.client import HubClient
from stillwatch.share.keyholder.client import KeyHolderClient
from stillwatch.share.pool.look import Look, Suspicion, look_with
from stillwatch.share.tokens import seal
from stillwatch.watch.detect.custody import answered
from stillwatch.watch.flow import Progress, Settings


@dataclass(frozen=True, slots=True)
class Sent:
    """What a first look found and sent."""

    case: Case
    suspicions: int
    accounts: int
    traits: dict[str, int]


@dataclass(frozen=True, slots=True)
class Queued:
    """A suspicion in the order in which people should look at it."""

    bits: float
    accounts: int
    shared: int  # of them, with a trait that partners share
    confirmed: tuple[str, ...]  # partners' released campaigns among those
    first: str
    last: str
    handed_over: bool  # a partner's sightings ended where ours begin, or the other way round


def send(settings: Settings, desk: Desk, hub: HubClient, holders: Sequence[KeyHolderClient], progress: Progress, now: float) -> Sent:
    """First look: detect alone, then send the suspects' traits for matching; only suspects', blinded, padded, within caps."""
    look = Look()
    case = look_with(look, settings, progress, now=now)
    suspects = frozenset().union(*(s.accounts for s in look.suspicions)) if look.suspicions else frozenset()
    values: dict[str, set[str]] = {}
    for account in suspects:
        for kind, some in look.traits[account].items():
            values.setdefault(kind, set()).update(some)
    progress.enter("blind and send")
    ordered = {kind: sorted(some)[: desk.policy.token_cap] for kind, some in sorted(values.items())}
    context = _context(desk, look.suspicions, now)
    if ordered:
        sharing.contribute(desk, context, ordered, len(suspects), hub, holders, now)
    desk.remember(suspicions=[sorted(s.accounts) for s in look.suspicions])
    progress.enter("")
    counts = {kind: len(some) for kind, some in ordered.items()}
    return Sent(case, len(look.suspicions), len(suspects), counts)


def _context(desk: Desk, suspicions: Sequence[Suspicion], now: float) -> seal.Context:
    today = sharing.day_of(now)
    mark = seal.suspicion_mark(desk.member, seal.epoch_of(today))
    if not suspicions:
        return seal.Context(mark, today, today)
    return seal.Context(mark, sharing.day_of(min(s.first for s in suspicions)), sharing.day_of(max(s.last for s in suspicions)))


def look_again(settings: Settings, desk: Desk, hub: HubClient, progress: Progress, now: float) -> tuple[Case, list[Queued]]:
    """Second look: detect with what partners share, and the queue of what is still only suspected."""
    answers, members = _answers(hub), hub.directory().of
    asked: dict[str, set[str]] = {}
    shared: dict[str, set[str]] = {}
    told: dict[tuple[str, str], dict[str, Any]] = {}
    for tag, (_, kind, value) in desk.state().get("tags", {}).items():
        asked.setdefault(kind, set()).add(value)
        if tag in answers:
            shared.setdefault(kind, set()).add(value)
            told[kind, value] = answers[tag]
    groups = [frozenset(g) for g in desk.state().get("suspicions", ())]
    look = Look({k: frozenset(v) for k, v in asked.items()}, {k: frozenset(v) for k, v in shared.items()}, groups)
    if answers:
        look.inputs.append(answered("answers", "partners", rfc8785.dumps(answers)))
    case = look_with(look, settings, progress, now=now)
    found = {s.account for c in case.campaigns for s in c.streams}
    queue = [_queued(s, look, told, members) for s in look.suspicions if not s.accounts & found]
    queue.sort(key=lambda q: (-len(q.confirmed), -q.shared / q.accounts, -q.bits, q.first))
    write_private(settings.out / "queue.json", json.dumps([asdict(q) for q in queue[:1000]], indent=1).encode())
    detail = {
        "campaigns": [c.id for c in case.campaigns],
        "asked": {k: len(v) for k, v in asked.items()},
        "shared": {k: len(v) for k, v in shared.items()},
    }
    desk.record("second-look", detail, now)
    return case, queue


def _answers(hub: HubClient) -> dict[str, dict[str, Any]]:
    """The answers to our tags, page by page."""
    found: dict[str, dict[str, Any]] = {}
    after = 0
    while page := hub.answers(after):
        found |= {a["tag"]: a for a in page}
        after = page[-1]["seq"]
    return found


def _queued(s: Suspicion, look: Look, told: dict[tuple[str, str], dict[str, Any]], members: Collection[str]) -> Queued:
    first, last = sharing.day_of(s.first), sharing.day_of(s.last)
    hits = [[told[kind, v] for kind, some in look.traits.get(a, {}).items() for v in some if (kind, v) in told] for a in s.accounts]
    every = [a for some in hits for a in some]
    spans = {tuple(x) for a in every for x in a.get("spans", ())}
    over = any(date.fromisoformat(x[1]) <= first or date.fromisoformat(x[0]) >= last for x in spans)
    marks = {seal.suspicion_mark(k, a["epoch"]) for a in every for k in members}
    confirmed = sorted({c for a in every for c in a["campaigns"]} - marks)
    return Queued(
        round(s.bits, 1), len(s.accounts), sum(bool(h) for h in hits), tuple(confirmed), first.isoformat(), last.isoformat(), over
    )
