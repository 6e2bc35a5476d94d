"""What the commands of release and hub do, step by step; the command line only reads and prints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch import records
from stillwatch.share import release as door
from stillwatch.share.desk.desk import Desk, DeskError, public_of
from stillwatch.share.hub.client import HubClient, Pushed
from stillwatch.share.keyholder.client import KeyHolderClient, tokens_of
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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A release on the desk: what would leave, in exact bytes, and what stays."""

    folder: Path
    release: door.Release
    bundle: bytes
    stays: tuple[tuple[str, int], ...]


def prepare_campaign(desk: Desk, campaign: records.Campaign, draft: door.Draft, now: float, **more: Any) -> Prepared | door.Withheld:
    """Examine a campaign; what passes is put into the outbox, what does not into the ledger as withheld."""
    draft = replace(draft, subject=campaign, removed=door.scrubbed(campaign), ledger=desk.member)
    return _prepare(desk, draft, campaign.id, now, **more)


def answer(
    desk: Desk, campaign: str, now: float, *, kind: str, value: str, days: tuple[date, date] | None = None
) -> Prepared | door.Withheld:
    """A sighting of or an opinion on a partner's campaign, or the retraction of one of ours."""
    return _prepare(desk, door.Draft(campaign, ledger=desk.member), campaign, now, answer=kind, value=value, days=days)


def _prepare(desk: Desk, draft: door.Draft, subject: str, now: float, **more: Any) -> Prepared | door.Withheld:
    made = door.prepare(draft, desk.policy, day_of(now), **more)
    if isinstance(made, door.Withheld):
        _record_withheld(desk, made, subject, now)
        return made
    folder = desk.folder / "outbox" / made.id
    if isinstance(made.document, door.Retraction):
        objects = wire.objects(door.reopen(_read(desk.outgoing(made.document.subject) / "document.json")), made)
    else:
        objects = wire.objects(made)
    bundle = rfc8785.dumps(wire.bundle(objects, [desk.member]))
    desk.file(folder, "document.json", made.canonical)
    desk.file(folder, "bundle.json", bundle)
    desk.file(folder, "stays.json", json.dumps({"subject": subject, "removed": dict(draft.removed)}, indent=1).encode())
    basis = desk.policy.basis(day_of(now))
    detail = {
        "release": made.id,
        "subject": subject,
        "bytes": len(bundle),
        "digest": _digest(bundle),
        "removed": dict(draft.removed),
        "legal_basis": made.document.stamp.legal_basis,
        "source": basis.source if basis else "",
        "counsel": draft.counsel_releases,
    }
    desk.record("prepared", detail, now)
    return Prepared(folder, made, bundle, draft.removed)


def _record_withheld(desk: Desk, made: door.Withheld, subject: str, now: float) -> None:
    why = [{"rule": r.rule, "reason": r.reason, "reference": r.reference} for r in made.refusals]
    desk.record("withheld", {"subject": subject, "refusals": why}, now)


def approve(desk: Desk, ident: str, name: str, key: Ed25519PrivateKey, now: float) -> Path:
    """A named person with the role signs the digest of what will leave; then the lab's key signs every object.

    Raises:
        DeskError: no such person, not the role, not the person's key, or the bytes have changed since they were prepared.
    """
    folder = desk.outgoing(ident)
    person = the_person(desk, name, "release", key)
    bundle = (folder / "bundle.json").read_bytes()
    prepared = [e["detail"] for e in desk.ledger() if e["kind"] == "prepared" and e["detail"]["release"] == folder.name]
    if not prepared or prepared[-1]["digest"] != _digest(bundle):
        raise DeskError(f"{folder / 'bundle.json'}: not what was prepared; prepare it again")
    release = door.reopen(_read(folder / "document.json"))
    if release.document.stamp.valid_until <= day_of(now).isoformat() or desk.policy.basis(day_of(now)) is None:
        raise DeskError(f"{folder.name}: it has expired or its legal basis has lapsed since it was prepared; prepare it again")
    statement = {"release": folder.name, "digest": _digest(bundle), "by": name, "at": _time(now)}
    signed = {**statement, "signature": key.sign(rfc8785.dumps(statement)).hex(), "public_key": person.public_key}
    objects = [wire.sign(o, desk.key) for o in json.loads(bundle)["objects"] if RELEASE in o.get("extensions", {})]
    desk.file(folder, "approval.json", json.dumps(signed, indent=1).encode())
    desk.file(folder, "signed.json", rfc8785.dumps(wire.bundle(objects, [desk.member])))
    desk.record("approved", signed, now)
    return folder


def the_person(desk: Desk, name: str, role: str, key: Ed25519PrivateKey) -> door.Person:
    """The person of the policy, with the role, whose key this is.

    Raises:
        DeskError: otherwise.
    """
    person = next((p for p in desk.policy.people if p.name == name), None)
    if person is None or role not in person.roles:
        raise DeskError(f"{name}: nobody of that name with the role of {role} in {desk.folder / 'policy.toml'}")
    if public_of(person.public_key) != key.public_key():
        raise DeskError(f"{name}: this is not the key that the policy names for this person")
    return person


def waiting(desk: Desk) -> list[Path]:
    """Releases that are approved and not yet sent, oldest first."""
    found = [p for p in (desk.folder / "outbox").glob("*") if (p / "signed.json").exists() and not (p / "sent.json").exists()]
    return sorted(found, key=lambda p: (p / "approval.json").stat().st_mtime)


def send(desk: Desk, folder: Path, hub: HubClient, now: float) -> Pushed:
    """Send one approved release; sending again does no harm.

    Raises:
        DeskError: it is not approved, or the approval does not hold.
    """
    try:
        approval = _read(folder / "approval.json")
        signed = _read(folder / "signed.json")
    except FileNotFoundError:
        raise DeskError(f"{folder.name}: not approved; a person with the role must run stillwatch release approve") from None
    statement = {k: approval[k] for k in ("release", "digest", "by", "at")}
    if approval["digest"] != _digest((folder / "bundle.json").read_bytes()):
        raise DeskError(f"{folder.name}: what was approved is not what lies there; prepare it again")
    try:
        public_of(approval["public_key"]).verify(bytes.fromhex(approval["signature"]), rfc8785.dumps(statement))
    except InvalidSignature:
        raise DeskError(f"{folder.name}: the approval's signature does not hold") from None
    if wire.unsigned_bundle(signed) != wire.unsigned_bundle(_read(folder / "bundle.json")):
        raise DeskError(f"{folder.name}: signed.json holds something else than what was approved; approve it again")
    told = hub.push(signed["objects"])
    detail = {"release": folder.name, "hub": hub.url, "stored": told.stored, "refused": [list(f) for f in told.failures]}
    desk.record("sent", detail, now)
    if not told.failures:
        document = door.reopen(_read(folder / "document.json")).document
        if isinstance(document, door.Retraction):
            _withdraw_traits(desk, hub, document.subject, now)
        desk.file(folder, "sent.json", json.dumps({"at": _time(now), **detail}, indent=1).encode())
    return told


def _withdraw_traits(desk: Desk, hub: HubClient, campaign: str, now: float) -> None:
    """What was sent for matching on account of a campaign goes with it, and its padding too, so that the hub cannot tell the two apart."""
    state = desk.state()
    tags, padding = state.get("tags", {}), state.get("padding", {})
    gone = [t for t, (c, _, _) in tags.items() if c == campaign]
    if gone:
        hub.withdraw(sorted([*gone, *padding.get(campaign, ())]))
        desk.remember(
            tags={t: x for t, x in tags.items() if x[0] != campaign}, padding={c: some for c, some in padding.items() if c != campaign}
        )
        desk.record("tokens-withdrawn", {"campaign": campaign, "tokens": len(gone)}, now)


@dataclass(frozen=True, slots=True)
class News:
    """What a pull brought."""

    new: int
    retracted: tuple[str, ...]
    expired: tuple[str, ...]
    answered: tuple[tuple[str, str], ...]  # our release, what a partner said of it
    reopened: tuple[str, ...]  # decisions, by number in the ledger
    refused: tuple[tuple[str, str], ...]


def pull(desk: Desk, hub: HubClient, now: float) -> News:
    """Take in what is new, page by page, so that a break loses nothing; retractions and expiry re-open decisions."""
    directory = hub.directory()
    new, refused, retracted, told = 0, [], [], []
    for checkpoint, good, bad in hub.pull(desk.state().get("checkpoint"), directory):
        for p in good:
            r = p.received
            if desk.member in p.owner:
                continue
            new += 1
            desk.take_in(
                p.owner[0],
                r.id,
                {"state": "retracted" if r.revoked else "live", "about": r.about, "valid_until": r.valid_until, "object": p.object},
            )
            if r.revoked and r.type == "campaign":
                retracted.append(r.id)
            if r.type in ("sighting", "opinion") and r.release is not None and (desk.folder / "outbox" / r.about).exists():
                told.append((r.about, _said(r.release.document)))
        refused += bad
        desk.remember(checkpoint=checkpoint)
    expired = _expire(desk, day_of(now))
    for ident, why in refused:
        desk.record("received-refused", {"id": ident, "reason": why}, now)
    reopened = _reopen(desk, {**dict.fromkeys(retracted, "retracted"), **dict.fromkeys(expired, "expired")}, now)
    if new or retracted or expired:
        desk.record("received", {"objects": new, "retracted": retracted, "expired": expired}, now)
    return News(new, tuple(retracted), tuple(expired), tuple(told), tuple(reopened), tuple(refused))


def _said(document: door.Document) -> str:
    if isinstance(document, door.Sighting):
        return f"{'seen' if document.seen else 'not seen'}, {document.first_day} to {document.last_day}"
    return f"opinion: {document.opinion}" if isinstance(document, door.Opinion) else ""


def _expire(desk: Desk, today: date) -> list[str]:
    gone = []
    for path, record in list(desk.inbox()):
        if record["state"] == "live" and record["valid_until"] < today.isoformat():
            desk.take_in(path.parent.name, path.stem, {**record, "state": "expired"})
            if record["object"]["type"] == "campaign":
                gone.append(path.stem)
    return gone


def _reopen(desk: Desk, lapsed: Mapping[str, str], now: float) -> list[str]:
    """Re-open every decision that relied on what has lapsed."""
    entries = desk.ledger()
    already = {(e["detail"]["decision"], e["detail"]["campaign"]) for e in entries if e["kind"] == "reopened"}
    out = []
    for e in entries:
        campaign = e["detail"].get("campaign")
        if e["kind"] == "decision" and campaign in lapsed and (e["n"], campaign) not in already:
            desk.record("reopened", {"decision": e["n"], "campaign": campaign, "why": lapsed[campaign]}, now)
            out.append(str(e["n"]))
    return out


def partners_campaign(desk: Desk, named: str) -> str:
    """The id of a live campaign in the inbox, from its beginning.

    Raises:
        DeskError: none or several.
    """
    every = [(p.stem, r["state"]) for p, r in desk.inbox() if r["object"]["type"] == "campaign"]
    found = [i for i, state in every if i.startswith(named) and state == "live"]
    if len(found) != 1:
        there = ", ".join(f"{i} ({state})" for i, state in every) or "none; run stillwatch hub pull"
        raise DeskError(f"{named}: {'no' if not found else 'more than one'} live campaign of a partner of that id (in the inbox: {there})")
    return found[0]


def decide(desk: Desk, campaign: str, action: str, by: str, evidence: records.Campaign | None, note: str, now: float) -> int:
    """Record a decision of our own on a partner's campaign; returns its number.

    Raises:
        DeskError: limiting or blocking without local evidence (rule 2), or there is no such live campaign in the inbox.
    """
    campaign = partners_campaign(desk, campaign)
    if action in ("limit", "block") and (evidence is None or door.own_bits(evidence) < desk.policy.minimum_bits):
        raise DeskError(
            f"{action} needs evidence of your own (rule R02): name a campaign that detect found here with at least {desk.policy.minimum_bits:g} bits "
            "(--found and --evidence); a partner's word only raises priority"
        )
    proof = {"campaign": evidence.id, "own_bits": round(door.own_bits(evidence), 1)} if evidence else None
    desk.record("decision", {"campaign": campaign, "action": action, "by": by, "evidence": proof, "note": note}, now)
    return len(desk.ledger()) - 1


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
    for trait, every in values.items():
        if not every:
            continue
        state = desk.state()
        pins, mine, padding = dict(state.get("keys", {})), dict(state.get("tags", {})), dict(state.get("padding", {}))
        outputs, public = tokens_of(every, trait, epoch, holders, pins.get(f"{trait} {epoch}"))
        holder = seal.key_digest(public)
        if hub.holder_key(trait, epoch, state.get("log", directory.log)) not in (None, holder):
            raise DeskError(
                f"{hub.url}: its log names another key of the key-holder for {trait} in {epoch} than this key-holder shows: nothing was sent; "
                "compare keys with the other members"
            )
        made: list[tuple[door.Release, int]] = []
        for start in range(0, len(outputs), seal.LARGEST):
            some = [seal.seal(t, desk.member, threshold, context, trait, epoch) for t in outputs[start : start + seal.LARGEST]]
            fill = seal.padding(len(some))
            made.append((_tokens_release(desk, trait, epoch, [*some, *fill], context.campaign, accounts, start, len(some), now), len(some)))
            mine |= {t.tag: [context.campaign, trait, v] for t, v in zip(some, every[start : start + seal.LARGEST], strict=True)}
            if context.campaign != seal.SUSPICION:
                padding[context.campaign] = [*padding.get(context.campaign, ()), *(t.tag for t in fill)]
        # Before anything leaves: what is sent can be taken back whatever breaks in between.
        desk.remember(keys={**pins, f"{trait} {epoch}": public}, tags=mine, padding=padding)
        for release, size in made:
            hub.send_tokens(seal.sign_batch(release, desk.key, holder, threshold))
            desk.record(
                "tokens", {"campaign": context.campaign, "trait": trait, "epoch": epoch, "tokens": size, "release": release.id}, now
            )
        out[trait] = len(every)
    return out


def _quorum(desk: Desk, told: int, accepted: int | None, now: float) -> int:
    """The hub's quorum, if it may be used: never below 2, and never lower than it was seen before unless somebody accepts that."""
    before = int(desk.state().get("quorum", told))
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
    desk: Desk, trait: str, epoch: str, tokens: list[door.Token], subject: str, accounts: int, pending: int, size: int, now: float
) -> door.Release:
    today = day_of(now).isoformat()
    sent = pending + sum(
        e["detail"]["tokens"] for e in desk.ledger() if e["kind"] == "tokens" and e["detail"]["trait"] == trait and e["at"][:10] == today
    )
    draft = door.Draft(door.Batch(trait, epoch, accounts, 0, size, sent), ledger=desk.member)
    made = door.prepare(draft, desk.policy, day_of(now), tokens=tokens)
    if isinstance(made, door.Withheld):
        _record_withheld(desk, made, f"{trait} tokens of {subject}", now)
        raise DeskError("; ".join(f"{r.rule}: {r.reason}" for r in made.refusals))
    return made


def day_of(now: float) -> date:
    """The UTC day of epoch seconds."""
    return datetime.fromtimestamp(now, UTC).date()


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_bytes()))


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()
