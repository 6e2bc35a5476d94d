"""Pooled detection: suspicions go out blinded, what partners share comes back as evidence beside one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
    confirmed: bool  # a partner released a campaign with such a trait
    first: str
    last: str
    handed_over: bool  # its months ended before ours began, or began after ours ended


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
    today = sharing.day_of(now)
    context = seal.Context(seal.SUSPICION, today, today)
    if ordered:
        sharing.contribute(desk, context, ordered, len(suspects), hub, holders, now)
    desk.remember(suspicions=[sorted(s.accounts) for s in look.suspicions])
    progress.enter("")
    counts = {kind: len(some) for kind, some in ordered.items()}
    return Sent(case, len(look.suspicions), len(suspects), counts)


def look_again(settings: Settings, desk: Desk, hub: HubClient, progress: Progress, now: float) -> tuple[Case, list[Queued]]:
    """Second look: detect with what partners share, and the queue of what is still only suspected."""
    answers = _answers(hub)
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
    queue = [_queued(s, look, told) for s in look.suspicions if not s.accounts & found]
    queue.sort(key=lambda q: (not q.confirmed, -q.shared / q.accounts, -q.bits, q.first))
    write_private(settings.out / "queue.json", json.dumps([asdict(q) for q in queue[:1000]], indent=1).encode())
    detail = {
        "campaigns": [c.id for c in case.campaigns],
        "asked": {k: len(v) for k, v in asked.items()},
        "shared": {k: len(v) for k, v in shared.items()},
    }
    desk.record("second-look", detail, now)
    return case, queue


def _answers(hub: HubClient) -> dict[str, dict[str, Any]]:
    """The answers to our tags that still match, page by page; a later one of a tag replaces the one before."""
    found: dict[str, dict[str, Any]] = {}
    after = 0
    while page := hub.answers(after):
        found |= {a["tag"]: a for a in page}
        after = page[-1]["seq"]
    return {tag: a for tag, a in found.items() if a["state"] == "matched"}


def _queued(s: Suspicion, look: Look, told: dict[tuple[str, str], dict[str, Any]]) -> Queued:
    first, last = sharing.day_of(s.first).isoformat(), sharing.day_of(s.last).isoformat()
    hits = [[told[kind, v] for kind, some in look.traits.get(a, {}).items() for v in some if (kind, v) in told] for a in s.accounts]
    released = [a["months"] for some in hits for a in some if a["released"]]
    over = any(months[1] < first[:7] or months[0] > last[:7] for months in released)
    return Queued(round(s.bits, 1), len(s.accounts), sum(bool(h) for h in hits), bool(released), first, last, over)
