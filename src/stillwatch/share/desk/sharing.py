"""What goes out, step by step: prepared, approved by persons, sent; and traits for matching.  The command line only reads and prints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature

from stillwatch import records
from stillwatch.share import release as door
from stillwatch.share.desk.book import time_text
from stillwatch.share.desk.desk import Desk, DeskError, Outgoing, public_of
from stillwatch.share.desk.heads import check_heads, log_head
from stillwatch.share.desk.people import Hand, enrolled, introduce, people, statements, the_person
from stillwatch.share.hub.client import HubClient
from stillwatch.share.keyholder.client import KeyHolderClient, tokens_of
from stillwatch.share.net.access import ClientError
from stillwatch.share.tokens import seal
from stillwatch.share.wire import stix as wire
from stillwatch.share.wire.vocabulary import RELEASE

#: Why each class of content stays.
STAYS: Final = {
    "account-references": "who the customers are",
    "call-references": "single requests",
    "trait-values": "cards, addresses, mail patterns: they go as blinded tokens or not at all",
    "prompt-skeletons": "prompts, and fingerprints that could be tried out",
    "counts": "volumes; only the decade of the accounts leaves",
    "times": "times; only days leave",
    "scores": "bits, p and q: how sharp the detector is; only a confidence of three steps leaves",
    "reasons": "the detector's reasons, with counts",
    "free-text": "free text",
}
#: A hub's answer that sending the same again will not change.
_REFUSED: Final = re.compile(r": 4(?!01|29)\d\d ")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A release on the desk: what would leave, in exact bytes, and what stays."""

    folder: Path  # of the copies
    release: door.Release
    bundle: bytes
    stays: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a release at the hub; ``note`` is what else the user should know."""

    stored: int
    failures: tuple[tuple[str, str], ...]  # id, reason
    note: str


def prepare_campaign(
    desk: Desk, campaign: records.Campaign, draft: door.Draft, now: float, *, counsel: Hand | None = None, **more: Any
) -> Prepared | door.Withheld:
    """Examine a campaign; what passes is put on the desk, what does not into the ledger as withheld.

    Args:
        counsel: who, with the role of counsel, releases what rule 1 holds back, by a signature of the document.

    Raises:
        DeskError: counsel is not enrolled, has not the role, or this is not the key.
    """
    released = counsel is not None
    draft = replace(draft, subject=campaign, removed=door.scrubbed(campaign), ledger=desk.member, counsel_releases=released)
    return _prepare(desk, draft, campaign.id, now, counsel, **more)


def answer(
    desk: Desk, campaign: str, now: float, *, kind: str, value: str, days: tuple[date, date] | None = None, counsel: Hand | None = None
) -> Prepared | door.Withheld:
    """A sighting of or an opinion on a partner's campaign, or the retraction of one of ours.

    Args:
        counsel: signs it where the legal basis is counsel's opinion.

    Raises:
        DeskError: it is no campaign of ours that is taken back, or counsel's signature is needed.
    """
    return _prepare(desk, door.Draft(campaign, ledger=desk.member), campaign, now, counsel, answer=kind, value=value, days=days)


def _prepare(desk: Desk, draft: door.Draft, subject: str, now: float, counsel: Hand | None, **more: Any) -> Prepared | door.Withheld:
    if counsel is not None:
        the_person(desk, counsel, "counsel")
        introduce(desk, counsel, now)
    made = door.prepare(draft, desk.policy, day_of(now), **more)
    if isinstance(made, door.Withheld):
        _record_withheld(desk, made, subject, now)
        return made
    if isinstance(made.document, door.Retraction):
        objects = wire.objects(_of_ours(desk, made.document.subject), made, {desk.member, *desk.policy.former})
    else:
        objects = wire.objects(made)
    bundle = rfc8785.dumps(wire.bundle(objects, [desk.member]))
    basis = desk.policy.basis(day_of(now))
    detail = {
        "release": made.id,
        "subject": subject,
        "bytes": len(bundle),
        "digest": _digest(bundle),
        "document": _digest(made.canonical),
        "removed": dict(draft.removed),
        "legal_basis": made.document.stamp.legal_basis,
        "source": basis.source if basis else "",
        "counsel": _counsel_signs(desk, made, counsel),
    }
    stays = json.dumps({"subject": subject, "removed": dict(draft.removed)}, indent=1)
    with desk.book.write():
        n = desk.record("prepared", detail, now)
        before = desk.book.release(made.id)
        if before is not None and before.bundle == bundle and before.document == made.canonical:
            desk.book.put(replace(before, prepared=n, stays=stays))  # the same once more: it stays as far as it has come
        else:
            desk.book.put(Outgoing(made.id, made.canonical, bundle, stays, n, None, "prepared"))
    for name, body in (("document.json", made.canonical), ("bundle.json", bundle), ("stays.json", stays.encode())):
        desk.copy(made.id, name, body)
    return Prepared(desk.copies(made.id), made, bundle, draft.removed)


def _approval(release: door.Release, role: str, hand: Hand) -> dict[str, str]:
    """A person's signature of a document, as it travels."""
    return asdict(wire.sign_approval(release, role, hand.key))


def _counsel_signs(desk: Desk, made: door.Release, counsel: Hand | None) -> dict[str, Any] | None:
    """Counsel's signatures of what needs them, with name and key, which stay here; None where nothing does.

    Raises:
        DeskError: something does, and counsel is not there.
    """
    documents = [made]
    if isinstance(made.document, door.Retraction) and not _travelled(desk, made.document.subject):
        documents.append(_of_ours(desk, made.document.subject))
    documents = [r for r in documents if getattr(r.document, "counsel", False) or r.document.stamp.legal_basis == "counsel-opinion"]
    if not documents:
        return None
    if counsel is None:
        raise DeskError(f"{made.id}: it rests on counsel's word, so counsel must sign it: --counsel NAME --key FILE")
    return {"name": counsel.name, "public_key": counsel.public, "approvals": [_approval(r, "counsel", counsel) for r in documents]}


def _of_ours(desk: Desk, campaign: str) -> door.Release:
    r = desk.book.release(campaign)
    if r is None:
        raise DeskError(f"{campaign}: no release of ours; only one's own campaigns can be taken back")
    return _reopened(r)


def _travelled(desk: Desk, campaign: str) -> list[dict[str, str]]:
    """The approvals with which a campaign of ours left; none where that was before they travelled."""
    r = desk.book.release(campaign)
    entry = desk.book.entry(r.approved) if r is not None and r.approved is not None else {}
    return list(entry.get("detail", {}).get("approvals", ()))


def _reopened(r: Outgoing) -> door.Release:
    return door.reopen(json.loads(r.document))


def _record_withheld(desk: Desk, made: door.Withheld, subject: str, now: float) -> None:
    why = [{"rule": r.rule, "reason": r.reason, "reference": r.reference} for r in made.refusals]
    desk.record("withheld", {"subject": subject, "refusals": why}, now)


def approve(desk: Desk, ident: str, by: Hand, now: float) -> Outgoing:
    """A named person with the role signs the document, and the digest of the exact bytes that will leave.

    Raises:
        DeskError: no such person, not the role, not the person's key, counsel's own key, or the bytes have changed since they were prepared.
    """
    with desk.book.write():
        r = desk.outgoing(ident)
        the_person(desk, by, "release")
        introduce(desk, by, now)
        entries = desk.ledger()
        prepared = _prepared(desk, r, entries)
        _in_force(desk, r, now)
        release = _reopened(r)
        travel = [_approval(release, "release", by)]
        if (counsel := _counsel(r, prepared)) is not None:
            if counsel["public_key"] == by.public:
                raise DeskError(f"{r.id}: {counsel['name']} has released it as counsel; somebody else must approve it")
            travel += counsel["approvals"]
        if isinstance(release.document, door.Retraction):  # what left before approvals travelled is signed by who takes it back
            campaign = release.document.subject
            travel += _travelled(desk, campaign) or [_approval(_of_ours(desk, campaign), "release", by)]
        statement = {"release": r.id, "digest": _digest(r.bundle), "by": by.name, "at": time_text(now)}
        signed = {**statement, "signature": by.key.sign(rfc8785.dumps(statement)).hex(), "public_key": by.public}
        detail = {**signed, "approvals": travel}
        n = desk.record("approved", detail, now)
        desk.book.put(replace(r, approved=n, stage="approved"))
    desk.copy(r.id, "approval.json", json.dumps(detail, indent=1).encode())
    return r


def _prepared(desk: Desk, r: Outgoing, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the ledger says was prepared.

    Raises:
        DeskError: it is not what lies here, or the copy that people read is not.
    """
    said: Mapping[str, Any] = entries[r.prepared]["detail"] if r.prepared < len(entries) else {}
    if (
        said.get("release") != r.id
        or said["digest"] != _digest(r.bundle)
        or said.get("document", _digest(r.document)) != _digest(r.document)
    ):
        raise DeskError(f"{r.id}: not what was prepared; prepare it again")
    for name, body in (("bundle.json", r.bundle), ("document.json", r.document)):
        copy = desk.copies(r.id) / name
        if copy.exists() and copy.read_bytes() != body:
            raise DeskError(f"{copy}: not what was prepared, the copy was changed; prepare it again")
    return said


def _counsel(r: Outgoing, prepared: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Counsel's release of it, None where it needed none.

    Raises:
        DeskError: an earlier version put down that there was one, and no signature.
    """
    said = prepared["counsel"]
    if said is True:
        raise DeskError(f"{r.id}: counsel's release was put down without a signature; prepare it again with --counsel NAME --key FILE")
    return said or None


def _in_force(desk: Desk, r: Outgoing, now: float) -> None:
    stamp, today = _reopened(r).document.stamp, day_of(now)
    if stamp.valid_until <= today.isoformat() or not desk.policy.holds(stamp.legal_basis, today):
        raise DeskError(f"{r.id}: it has expired or its legal basis has lapsed since it was prepared; prepare it again")


def waiting(desk: Desk, *, again: bool = False) -> list[Outgoing]:
    """Releases that are approved and not yet sent, oldest first; with ``again`` those that were sent too, for a hub that lost them."""
    return [r for r in desk.book.releases() if r.stage in ("approved", "sending") or (again and r.stage == "sent")]


def send(desk: Desk, ident: str, hub: HubClient, now: float) -> Sent:
    """Send one approved release; sending again does no harm.

    That it goes is in the ledger before it goes, and what became of it afterwards; where a break came between, it is sent again and put down once.

    Raises:
        DeskError: it is not approved, the approval does not hold any more, or it must not leave today (the refusal stands in the ledger then); or the ledger is
            not the one whose head the hub has logged.
    """
    check_heads(desk, hub)
    try:
        with desk.book.write():
            r = desk.outgoing(ident)
            objects = _signed(desk, r, _approved(desk, r, now))
            if r.stage != "sending":
                digest = _digest(rfc8785.dumps({"objects": objects}))
                desk.record("sending", {"release": r.id, "hub": hub.url, "objects": len(objects), "digest": digest}, now)
                r = replace(r, stage="sending")
                desk.book.put(r)
    except DeskError as error:
        _refuse(desk, ident, str(error), now)
        raise
    tell_persons(desk, hub)
    told = hub.push(objects)
    detail = {"release": r.id, "hub": hub.url, "stored": told.stored, "refused": [list(f) for f in told.failures]}
    with desk.book.write():
        current = desk.book.release(r.id)
        if current is not None and current.stage == "sending":  # else another process has put it down
            desk.record("sent", detail, now)
            desk.book.put(replace(current, stage="approved" if told.failures else "sent"))
    desk.copy(r.id, "signed.json", rfc8785.dumps({"objects": objects}))
    _withdraw_retracted(desk, hub, now)
    return Sent(told.stored, tuple(told.failures), log_head(desk, hub))


def tell_persons(desk: Desk, hub: HubClient) -> None:
    """Have the hub know the desk's persons, without whom it takes nothing; those that it was told of are not told again."""
    every = statements(desk)
    if desk.book.recall("persons_told") != [hub.url, len(every)]:
        hub.state_persons(every)
        desk.remember(persons_told=[hub.url, len(every)])


def _refuse(desk: Desk, ident: str, reason: str, now: float) -> None:
    """Put down that a release was not sent; it must be approved again."""
    with desk.book.write():
        r = desk.outgoing(ident)
        desk.record("refused", {"what": "send", "subject": r.id, "by": "", "reason": reason}, now)
        if r.stage in ("approved", "sending"):
            desk.book.put(replace(r, stage="prepared"))


def _approved(desk: Desk, r: Outgoing, now: float) -> Mapping[str, Any]:
    """The approval of a release, asked again: bytes, persons, signatures, expiry and basis.

    Raises:
        DeskError: it does not hold.
    """
    entries = desk.ledger()
    if r.approved is None or r.stage == "prepared":
        raise DeskError(f"{r.id}: not approved; a person with the role must run stillwatch release approve")
    prepared, approval = _prepared(desk, r, entries), entries[r.approved]["detail"] if r.approved < len(entries) else {}
    if approval.get("release") != r.id or approval["digest"] != _digest(r.bundle):
        raise DeskError(f"{r.id}: what was approved is not what lies there; prepare it again")
    if "approvals" not in approval:
        raise DeskError(f"{r.id}: approved with an earlier Stillwatch, whose approvals do not travel; approve it again")
    statement = {k: approval[k] for k in ("release", "digest", "by", "at")}
    try:
        public_of(approval["public_key"]).verify(bytes.fromhex(approval["signature"]), rfc8785.dumps(statement))
    except InvalidSignature:
        raise DeskError(f"{r.id}: the approval's signature does not hold") from None
    now_enrolled = enrolled(people(desk, entries))
    hands = [("release", approval["by"], approval["public_key"])]
    if (counsel := _counsel(r, prepared)) is not None:
        hands.append(("counsel", counsel["name"], counsel["public_key"]))
    for role, name, key in hands:
        person = now_enrolled.get(name)
        if person is None or role not in person.roles or person.public_key != key:
            raise DeskError(f"{r.id}: {name}, who signed it, has not the role {role} any more; somebody who has it must approve it again")
    _in_force(desk, r, now)
    return approval


def _signed(desk: Desk, r: Outgoing, approval: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What travels: the objects, with the persons' approvals where they carry the document, signed with the lab's key, and the constants they name."""
    given = [wire.Approval(**a) for a in approval["approvals"]]
    objects = [o for o in json.loads(r.bundle)["objects"] if RELEASE in o.get("extensions", {})]
    signed = [wire.sign(wire.approved(o, given) if "document" in o["extensions"][RELEASE] else o, desk.key) for o in objects]
    return list(wire.bundle(signed, [desk.member])["objects"])


def _withdraw_retracted(desk: Desk, hub: HubClient, now: float) -> None:
    """What was sent for matching on account of our campaigns goes with their retraction, also where a break came in between."""
    gone = [_reopened(r).document for r in desk.book.releases() if r.stage == "sent" and r.id.startswith("retraction--")]
    for document in gone:
        if isinstance(document, door.Retraction):
            _withdraw_traits(desk, hub, document.subject, now)


def _withdraw_traits(desk: Desk, hub: HubClient, campaign: str, now: float) -> None:
    """What was sent for matching on account of a campaign goes with it, and its padding too, so that the hub cannot tell the two apart."""
    gone = [r["tag"] for r in desk.book.read("SELECT tag FROM tag WHERE campaign = ? ORDER BY tag", campaign)]
    if gone:
        hub.withdraw(sorted([*gone, *(desk.book.recall("padding") or {}).get(campaign, ())]))
        with desk.book.write() as db:
            if db.execute(
                "DELETE FROM tag WHERE campaign = ? RETURNING tag", (campaign,)
            ).fetchall():  # else another process has put it down
                desk.remember(padding={c: some for c, some in (desk.book.recall("padding") or {}).items() if c != campaign})
                desk.record("tokens-withdrawn", {"campaign": campaign, "tokens": len(gone)}, now)


def contribute(
    desk: Desk,
    context: seal.Context,
    values: Mapping[str, Sequence[str]],
    accounts: int,
    hub: HubClient,
    holders: Sequence[KeyHolderClient],
    now: float,
    *,
    accept_quorum: int | None = None,
) -> dict[str, int]:
    """Blind the traits of suspect accounts and send them for matching, padded; returns how many of each kind.  Answers come after the day.

    Args:
        context: what is sealed with them: a released campaign with its days, or a suspicion with today twice.
        values: canonical values by kind of trait.
        accounts: how many accounts they are of.
        accept_quorum: a lower quorum than before that the members agreed on.

    Raises:
        DeskError: a rule forbids it, the hub's quorum is below 2 or fell, or the log names another key of the key-holder.
    """
    directory, epoch, out = hub.directory(), seal.epoch_of(day_of(now)), {}
    threshold = _quorum(desk, directory.quorum, accept_quorum, now)
    send_batches(desk, hub, now)
    for trait, every in values.items():
        if not every:
            continue
        pins = dict(desk.book.recall("keys") or {})
        outputs, public = tokens_of(every, trait, epoch, holders, pins.get(f"{trait} {epoch}"))
        holder = seal.key_digest(public)
        if hub.holder_key(trait, epoch, desk.book.recall("log") or directory.log) not in (None, holder):
            raise DeskError(
                f"{hub.url}: its log names another key of the key-holder for {trait} in {epoch} than this key-holder shows: nothing was sent; "
                "compare keys with the other members"
            )
        desk.remember(keys=pins | {f"{trait} {epoch}": public})
        for start in range(0, len(outputs), seal.LARGEST):
            some = [seal.seal(t, desk.member, threshold, context, trait, epoch) for t in outputs[start : start + seal.LARGEST]]
            fill = seal.padding(len(some))
            with desk.book.write():  # before anything leaves: what is sent can be taken back whatever breaks in between
                made = _tokens_release(desk, trait, epoch, [*some, *fill], len(some), accounts, now)
                if isinstance(made, door.Withheld):
                    _record_withheld(desk, made, f"{trait} tokens of {context.campaign}", now)
                else:
                    detail = {"campaign": context.campaign, "trait": trait, "epoch": epoch, "tokens": len(some), "release": made.id}
                    part = every[start : start + seal.LARGEST]
                    desk.book.keep_tags({t.tag: (context.campaign, trait, v) for t, v in zip(some, part, strict=True)})
                    if context.campaign != seal.SUSPICION:
                        padding = dict(desk.book.recall("padding") or {})
                        padding[context.campaign] = [*padding.get(context.campaign, ()), *(t.tag for t in fill)]
                        desk.remember(padding=padding)
                    desk.book.intend(made.id, seal.sign_batch(made, desk.key, holder, threshold), detail)
                    desk.record("tokens-sending", detail, now)
            if isinstance(made, door.Withheld):
                raise DeskError("; ".join(f"{r.rule}: {r.reason}" for r in made.refusals))
            send_batches(desk, hub, now)
        out[trait] = len(every)
    return out


def send_batches(desk: Desk, hub: HubClient, now: float) -> None:
    """Send the batches of traits that are meant to go, those of a run that was broken off too.

    Raises:
        ClientError: the hub does not answer, or refuses one, which is given up.
    """
    for release, body, detail in desk.book.intended():
        refused: ClientError | None = None
        try:
            hub.send_tokens(body)
        except ClientError as error:
            if not _REFUSED.search(str(error)):
                raise
            refused = error
        with desk.book.write():
            if desk.book.done(release):  # else another process has put it down
                desk.record("tokens-refused" if refused else "tokens", {**detail, **({"reason": str(refused)} if refused else {})}, now)
        if refused is not None:
            raise refused


def _quorum(desk: Desk, told: int, accepted: int | None, now: float) -> int:
    """The hub's quorum, if it may be used: never below 2, and never lower than it was seen before unless somebody accepts that."""
    known = desk.book.recall("quorum")
    before = told if known is None else int(known)
    if told < seal.LEAST_QUORUM:
        raise DeskError(
            f"the hub asks for a quorum of {told}: a share of it is the secret itself, so nothing is sent; at least {seal.LEAST_QUORUM}"
        )
    if told < before and told != accepted:
        raise DeskError(
            f"the hub's quorum fell from {before} to {told}: nothing was sent; ask the other members, and if all agree run "
            f"stillwatch hub contribute with --quorum {told}"
        )
    if told < before:
        desk.record("quorum-accepted", {"before": before, "quorum": told}, now)
    desk.remember(quorum=told)
    return told


def _tokens_release(
    desk: Desk, trait: str, epoch: str, tokens: list[door.Token], size: int, accounts: int, now: float
) -> door.Release | door.Withheld:
    today = day_of(now).isoformat()
    # What is meant to go counts: whether it arrived before a break nobody knows.
    spent = {e["detail"]["release"]: e for kind in ("tokens", "tokens-sending") for e in desk.book.entries(kind)}
    sent = sum(e["detail"]["tokens"] for e in spent.values() if e["detail"]["trait"] == trait and e["at"][:10] == today)
    draft = door.Draft(door.Batch(trait, epoch, accounts, 0, size, sent), ledger=desk.member)
    return door.prepare(draft, desk.policy, day_of(now), tokens=tokens)


def day_of(now: float) -> date:
    """The UTC day of epoch seconds."""
    return datetime.fromtimestamp(now, UTC).date()


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()
