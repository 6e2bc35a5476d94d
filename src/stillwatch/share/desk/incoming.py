"""What comes in from partners, and what a lab decides on it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import rfc8785

from stillwatch import records
from stillwatch.share import release as door
from stillwatch.share.desk.desk import Desk, DeskError, Record
from stillwatch.share.desk.heads import check_heads
from stillwatch.share.desk.people import Hand, the_person, two
from stillwatch.share.desk.witness import watch
from stillwatch.share.hub.client import HubClient, Pulled
from stillwatch.store.sqlite import DatabaseError
from stillwatch.watch.case import CaseError, CaseFile
from stillwatch.watch.evidence import campaign_from_json


@dataclass(frozen=True, slots=True)
class News:
    """What a pull brought."""

    new: int
    retracted: tuple[str, ...]
    expired: tuple[str, ...]
    deleted: tuple[str, ...]
    answered: tuple[tuple[str, str], ...]  # our release, what a partner said of it
    reopened: tuple[str, ...]  # decisions, by number in the ledger
    refused: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Page:
    """News while they are gathered."""

    new: int = 0
    retracted: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    answered: list[tuple[str, str]] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: _Page) -> None:
        self.new += other.new
        for name in ("retracted", "expired", "deleted", "answered", "reopened", "refused"):
            getattr(self, name).extend(getattr(other, name))


def pull(desk: Desk, hub: HubClient, now: float) -> News:
    """Take in what is new.  A page, its checkpoint, its retractions and the decisions that they re-open are one transaction, so a break loses nothing and
    two pulls at once take each object in once.

    Raises:
        DeskError: the ledger is not the one whose head the hub has logged.
        LogError: the hub's log is not the one that was seen before, or that others see.
    """
    check_heads(desk, hub)
    _, directory = watch(desk, hub, now)
    today = datetime.fromtimestamp(now, UTC).date()
    all_of_it = _Page()
    behind = True
    while behind:
        behind, at = False, desk.book.recall("checkpoint")
        for checkpoint, good, bad in hub.pull(at, directory, today=today, known=partial(_known, desk)):
            page = _take_page(desk, at, checkpoint, good, bad, now)
            if page is None:  # another process has taken it in; go on from where that one is
                behind = True
                break
            all_of_it.add(page)
            at = checkpoint
    gone = hub.ended(-1 if (last := desk.book.recall("ended")) is None else last, directory.log)
    with desk.book.write():
        page = _Page(expired=_expire(desk, now), deleted=_delete(desk, gone))
        _conclude(desk, page, now)
        if gone:
            desk.remember(ended=max(number for _, number, _ in gone))
    all_of_it.add(page)
    p = all_of_it
    return News(p.new, tuple(p.retracted), tuple(p.expired), tuple(p.deleted), tuple(p.answered), tuple(p.reopened), tuple(p.refused))


def _known(desk: Desk, campaign: str) -> dict[str, Any] | None:
    """The object of a campaign that is here: a partner's, or one of ours."""
    if (r := desk.book.received(campaign)) is not None:
        return r.object
    own = desk.book.release(campaign)
    return next((o for o in json.loads(own.bundle)["objects"] if o["id"] == campaign), None) if own is not None else None


def _delete(desk: Desk, gone: Sequence[tuple[str, int, str]]) -> list[str]:
    """What partners deleted without taking it back lapses here too: the very object that the log names, and what belongs to it."""
    with desk.book.write() as db:
        there = "UPDATE inbox SET state = 'deleted' WHERE id = ? AND state = 'live' AND (id = ? OR about = ?) RETURNING id, type"
        rows = [db.execute(there, (i, named, named)).fetchone() for i, _, named in gone]
        if gone:  # another pull may still be bringing in what it fetched before
            desk.remember(deleted=sorted({*(desk.book.recall("deleted") or ()), *(named for _, _, named in gone)}))
    return sorted(r["id"] for r in rows if r is not None and r["type"] == "campaign")


def _take_page(
    desk: Desk, at: str | None, checkpoint: str, good: Sequence[Pulled], bad: Iterable[tuple[str, str]], now: float
) -> _Page | None:
    page = _Page()
    with desk.book.write():
        if desk.book.recall("checkpoint") != at:
            return None
        for p in good:
            if desk.member not in p.owner and (why := _take_in(desk, p, page)):
                page.refused.append((p.received.id, why))
        page.refused += bad
        _conclude(desk, page, now)
        desk.remember(checkpoint=checkpoint)
    return page


def _take_in(desk: Desk, p: Pulled, page: _Page) -> str:
    """Take in one object; why it is not believed, "" where it is or was taken in before."""
    r, known = p.received, desk.book.received(p.received.id)
    if known is None and {r.id, r.about} & set(desk.book.recall("deleted") or ()):
        return "its campaign was deleted"
    if known is not None:
        if known.owner not in p.owner:
            return "it is another partner's"
        if r.version <= known.version:
            return ""
        if known.state != "live" and not r.revoked:
            return f"it was {known.state} and stays so"
    owner = known.owner if known is not None else p.owner[0]
    state = "retracted" if r.revoked else "live"
    desk.book.take_in(Record(r.id, owner, r.type, r.version, r.about, state, r.valid_until, p.object))
    page.new += 1
    if r.revoked and r.type == "campaign":
        page.retracted.append(r.id)
    if r.type in ("sighting", "opinion") and r.release is not None and desk.book.release(r.about) is not None:
        page.answered.append((r.about, _said(r.release.document)))
    return ""


def _said(document: door.Document) -> str:
    if isinstance(document, door.Sighting):
        return f"{'seen' if document.seen else 'not seen'}, {document.first_day} to {document.last_day}"
    return f"opinion: {document.opinion}" if isinstance(document, door.Opinion) else ""


def _expire(desk: Desk, now: float) -> list[str]:
    today = datetime.fromtimestamp(now, UTC).date().isoformat()
    with desk.book.write() as db:
        rows = db.execute(
            "UPDATE inbox SET state = 'expired' WHERE state = 'live' AND valid_until < ? RETURNING id, type", (today,)
        ).fetchall()
    return sorted(r["id"] for r in rows if r["type"] == "campaign")


def _conclude(desk: Desk, page: _Page, now: float) -> None:
    """Re-open the decisions that relied on what has lapsed, and put down what came in."""
    lapsed = {
        **dict.fromkeys(page.retracted, "retracted"),
        **dict.fromkeys(page.expired, "expired"),
        **dict.fromkeys(page.deleted, "deleted by its owner"),
    }
    for ident, why in page.refused:
        desk.record("received-refused", {"id": ident, "reason": why}, now)
    if lapsed:
        already = {(e["detail"]["decision"], e["detail"]["campaign"]) for e in desk.book.entries("reopened")}
        for e in desk.book.entries("decision"):
            campaign = e["detail"]["campaign"]
            if campaign in lapsed and (e["n"], campaign) not in already:
                desk.record("reopened", {"decision": e["n"], "campaign": campaign, "why": lapsed[campaign]}, now)
                page.reopened.append(str(e["n"]))
    if page.new or lapsed:
        detail = {"objects": page.new, "retracted": page.retracted, "expired": page.expired, "answers": [list(a) for a in page.answered]}
        desk.record("received", detail, now)


def partners_campaign(desk: Desk, named: str) -> Record:
    """A live campaign in the inbox, from the beginning of its id.

    Raises:
        DeskError: none or several.
    """
    every = desk.inbox("campaign")
    found = [r for r in every if r.id.startswith(named) and r.state == "live"]
    if len(found) != 1:
        there = ", ".join(f"{r.id} ({r.state})" for r in every) or "none; run stillwatch hub pull"
        raise DeskError(f"{named}: {'no' if not found else 'more than one'} live campaign of a partner of that id (in the inbox: {there})")
    return found[0]


def document_of(r: Record) -> dict[str, Any]:
    """The document that a partner's record carries."""
    return next((dict(e["document"]) for e in r.object["extensions"].values() if "document" in e), {})


@dataclass(frozen=True, slots=True)
class Evidence:
    """A campaign that was found here, and the digest under which its case file knows it."""

    campaign: records.Campaign
    digest: str


def local_evidence(found: Path, named: str, case_file: Path) -> Evidence:
    """A campaign of ``campaigns.jsonl`` whose digest stands in the case file with a decision about it, and whose figures are those of a run there.

    Args:
        found: what detect wrote.
        named: the campaign's id, or the beginning of it.
        case_file: the one that the results name.

    Raises:
        DeskError: there is none such.
    """
    try:
        lines = (found / "campaigns.jsonl").read_bytes().splitlines()
        every = [(campaign_from_json(json.loads(line)), line) for line in lines]
    except (OSError, ValueError) as error:
        raise DeskError(f"{found / 'campaigns.jsonl'}: cannot be read ({error}); name what stillwatch detect wrote with --out") from None
    chosen = [(c, line) for c, line in every if c.id.startswith(named)]
    if len(chosen) != 1:
        there = ", ".join(c.id for c, _ in every) or "none"
        raise DeskError(f"{named}: {'no' if not chosen else 'more than one'} campaign of that id in {found} (there: {there})")
    campaign, line = chosen[0]
    digest = sha256(line).hexdigest()
    try:
        with CaseFile.existing(case_file) as file:
            name = file.find(campaign.id)
            decided = any(d.evidence == digest for d in file.decisions(name))
            seen = any(
                (e.accounts, e.calls, e.bits) == (len({s.account for s in campaign.streams}), campaign.calls, campaign.bits)
                for e in file.history(name)
                if e.what in ("found", "seen")
            )
    except (CaseError, DatabaseError) as error:
        raise DeskError(f"{campaign.id}: not evidence of this lab: {error}") from None
    if not seen:
        raise DeskError(
            f"{campaign.id}: not evidence of this lab: no run in {case_file} found it with these figures; run stillwatch detect again"
        )
    if not decided:
        raise DeskError(
            f"{campaign.id}: its digest is not in {case_file}; decide on it there first: stillwatch case decide {found} {campaign.id} --action ACTION --by NAME --reason WHY"
        )
    return Evidence(campaign, digest)


def decide(
    desk: Desk,
    campaign: str,
    action: str,
    by: Hand,
    now: float,
    *,
    evidence: Evidence | None = None,
    second: Hand | None = None,
    note: str = "",
) -> int:
    """Record a decision of our own on a partner's campaign, signed by who takes it; returns its number.

    Raises:
        DeskError: nobody enrolled takes it; limiting or blocking without local evidence of that campaign (rule 2) or without a second person; or there is no
            such live campaign in the inbox.  The refusal stands in the ledger.
    """
    try:
        with desk.book.write():
            return _decide(desk, partners_campaign(desk, campaign), action, by, now, evidence, second, note)
    except DeskError as error:
        desk.record("refused", {"what": f"decision: {action}", "subject": campaign, "by": by.name, "reason": str(error)}, now)
        raise


def _decide(
    desk: Desk, partner: Record, action: str, by: Hand, now: float, evidence: Evidence | None, second: Hand | None, note: str
) -> int:
    hands = [by] if second is None else [by, second]
    for hand in hands:
        the_person(desk, hand, "release", "counsel", "operator")
    if action in ("limit", "block"):
        if evidence is None or door.own_bits(evidence.campaign) < desk.policy.minimum_bits:
            raise DeskError(
                f"{action} needs evidence of your own (rule R02): name a campaign that detect found here with at least {desk.policy.minimum_bits:g} bits "
                "(--found and --evidence); a partner's word only raises priority"
            )
        theirs = {t["id"] for t in document_of(partner)["techniques"]}
        if not theirs & {t for t, _ in evidence.campaign.techniques}:
            raise DeskError(
                f"{action} needs evidence of your own of that campaign (rule R02): {evidence.campaign.id} shows none of its techniques ({', '.join(sorted(theirs))})"
            )
        if second is None:
            raise DeskError(f"{action} needs two persons: --second NAME --second-key FILE")
    if second is not None:
        two(by, second)
    n, _ = desk.book.head()
    proof: dict[str, Any] | None = None
    if evidence is not None:
        proof = {"campaign": evidence.campaign.id, "own_bits": round(door.own_bits(evidence.campaign), 1), "digest": evidence.digest}
    said: dict[str, Any] = {"campaign": partner.id, "action": action, "evidence": proof, "note": note, "n": n, "member": desk.member}
    signed = rfc8785.dumps({"statement": "stillwatch-decision-1", **said})
    signatures = [{"name": h.name, "public_key": h.public, "signature": h.key.sign(signed).hex()} for h in hands]
    detail: Mapping[str, Any] = {**said, "by": by.name, "second": second.name if second else None, "signatures": signatures}
    return desk.record("decision", detail, now)
