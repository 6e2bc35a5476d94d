"""What the hub asks before it stores objects: form and signature, the rules that a document decides, who approved it, and whether what it speaks of is there.

The sender's client asks the same before it sends; a check there binds nobody who holds a key.  The day is the hub's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any, Final

from sqlalchemy.engine import Connection

from stillwatch.share.hub import taxii
from stillwatch.share.hub.database import DAY, Database, Incoming, Member, constant_incoming
from stillwatch.share.release import Campaign, undocumented
from stillwatch.share.wire import stix as wire
from stillwatch.share.wire.vocabulary import constants

#: Networks that all of a member's live campaigns may name, and campaigns that it may release within a month.
MOST_NETWORKS: Final = 1000
MOST_CAMPAIGNS: Final = 1000
MONTH: Final = 30 * DAY


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a member may say: networks that all of its live campaigns may name, campaigns within thirty days."""

    networks: int = MOST_NETWORKS
    campaigns: int = MOST_CAMPAIGNS


@dataclass(frozen=True, slots=True)
class Stored:
    """A campaign of the collection, as its newest version says: whose it is, what became of it ("" while it lives)."""

    member: str
    ended: str
    received: wire.Received | None  # None where nothing of it is left


def examine(o: Any, member: Member, today: date) -> Incoming:
    """Form and signature of one object that a member sends.

    Raises:
        WireError: why it is refused.
    """
    if not isinstance(o, dict):
        raise wire.WireError("not an object")
    ident = o.get("id")
    known = constants().get(ident) if isinstance(ident, str) else None
    if known is None and o.get("type") == "identity":
        known = next((i for i in map(wire.identity, member.keys) if i["id"] == ident), None)
    if known is not None:
        if o != known:
            raise wire.WireError("this object is the same everywhere and may not be changed")
        return constant_incoming(known)
    public = member.publics.get(wire.signer(o))
    if public is None:
        raise wire.WireError("not signed with a key that you have enrolled here; release it with stillwatch release approve")
    got = wire.examine(o, public, member.all_keys)
    if got.valid_until < today.isoformat():
        raise wire.WireError("it has expired")
    return Incoming(got.id, got.type, got.version, taxii.micros(got.version), got.about, got.valid_until, wire.canonical_of(o), got)


def take_in(
    db: Database, c: Connection, collection: str, member: Member, given: Sequence[Incoming], caps: Caps, today: date, now: int
) -> list[str]:
    """Store what may be stored, campaigns first; returns for each object "" or why it was refused."""
    reasons = [""] * len(given)
    there = db.stored(c, collection, sorted({i.id for i in given}))
    new = [n for n, i in enumerate(given) if i.got is not None and (i.id, sha256(i.body).hexdigest()) not in there]
    persons = db.persons(c, member.name) if new else ({}, {})
    abouts = _campaigns(db, c, collection, sorted({given[n].about for n in new}))
    released, named = db.said(c, collection, member.name, now - MONTH) if new else (0, 0)
    asked = set(new)
    first = [n for n in new if given[n].type == "campaign"]
    rest = [n for n in range(len(given)) if n not in set(first)]
    for wave in (first, rest):
        wave.sort(key=lambda n: (given[n].id, given[n].at))  # the order in which somebody sends is nobody's word
        for n in wave:
            got = given[n].got
            if got is None or n not in asked:
                continue  # the same everywhere, or stored already: sending twice does no harm
            reasons[n] = refusal(got, member.name, persons, abouts.get(got.about), today)
            if not reasons[n] and got.release is not None and isinstance(got.release.document, Campaign) and got.id not in abouts:
                released, named = released + 1, named + len(got.release.document.networks)
                if released > caps.campaigns:
                    reasons[n] = "too many campaigns in thirty days, deleted ones counted; ask the hub's operator"
                elif named > caps.networks:
                    reasons[n] = "too many networks in all of the member's campaigns; retract older ones first"
        taken = [n for n in wave if not reasons[n]]
        for n, why in zip(taken, db.add(c, collection, member, [given[n] for n in taken], now), strict=True):
            reasons[n] = why
            got = given[n].got
            if not why and got is not None and got.type == "campaign":
                abouts[got.id] = Stored(member.name, "revoked" if got.revoked else "", got)
    return reasons


def _campaigns(db: Database, c: Connection, collection: str, names: Sequence[str]) -> dict[str, Stored]:
    found = db.campaigns(c, collection, names)
    return {i: Stored(member, ended, wire.examine(json.loads(body)) if body else None) for i, (member, ended, body) in found.items()}


def refusal(
    got: wire.Received, sender: str, persons: tuple[Mapping[str, wire.Person], Mapping[str, wire.Person]], about: Stored | None, today: date
) -> str:
    """Why an object is not stored; "" where nothing speaks against it.

    Args:
        got: what was examined; its signature holds.
        sender: the member who sends it.
        persons: the sender's, by fingerprint: who are enrolled now, and who ever were.
        about: the campaign that it belongs to, None where the collection has none; of a campaign itself, its earlier version.
        today: the hub's day.
    """
    before = about.received.release if about is not None and about.received is not None and got.type == "campaign" else None
    try:
        wire.check_approvals(got, *persons, settled=() if before is None else {wire.digest_of(before)})
    except wire.WireError as error:
        return str(error)
    document = got.release.document if got.release else None
    first = document if about is None or not isinstance(document, Campaign) else None
    for asked in (first, got.retraction.document if got.retraction else None):
        for r in undocumented(asked, today, fresh=True) if asked is not None else ():
            return f"{r.rule}: {r.reason} ({r.reference})"
    if isinstance(document, Campaign):
        return ""
    if about is None:
        return "it speaks of a campaign that this collection does not have"
    mine = about.member == sender
    if about.received is not None and about.received.valid_until < today.isoformat():
        return "it speaks of a campaign that was expired"
    if about.received is None or (about.ended and not (mine and got.revoked)):
        return f"it speaks of a campaign that was {about.ended or 'deleted'}"
    if document is not None:
        return "it is your own campaign: release a newer one, or retract it" if mine else ""
    if not mine:
        return "it belongs to a campaign of another member"
    return "" if wire.stands_in(got, about.received) else "it does not stand in the document of its campaign"
