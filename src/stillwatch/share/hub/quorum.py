"""How the hub joins tags without learning anything below quorum; nobody is told about a tag that it did not send."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from typing import Any, Final

import rfc8785
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from sqlalchemy.engine import Connection

from stillwatch.share.hub.database import DAY, Database, Member
from stillwatch.share.hub.tables import answers as answers_table
from stillwatch.share.hub.tables import members, tokens
from stillwatch.share.release import DocumentError, Release, Tokens, reopen
from stillwatch.share.tokens.seal import epochs, open_seals
from stillwatch.share.wire.stix import key_id

#: How long a tag is kept, in days.
KEEP: Final = 90
_STEP: Final = 500  # values in one query


class QuorumError(ValueError):
    """A batch that is refused; ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def take_in(db: Database, c: Connection, body: Any, member: Member, threshold: int, a_day: int, today: str, now: int) -> dict[str, object]:
    """Store a batch and answer the quorums that it completes, in the caller's transaction.

    Raises:
        QuorumError: the batch is not in order, not signed by the member, or above its quota.
    """
    release, doc = _batch(body, member)
    if not doc.stamp.day <= today < doc.stamp.valid_until:
        raise QuorumError(422, "stamp: the batch is from the future, or has expired")
    if doc.epoch not in epochs(date.fromisoformat(today)):
        raise QuorumError(422, f"epoch: {doc.epoch} is over; blind the traits again with the key of this one")
    t = tokens.c
    sent = c.execute(sa.select(sa.func.count()).where(t.member == member.name, t.trait == doc.trait, t.added > now - DAY)).scalar_one()
    if sent + len(doc.tokens) > a_day:
        raise QuorumError(429, f"{sent} traits of this kind in a day; the quota is {a_day}")
    tags = [x.tag for x in doc.tokens]
    common = {"trait": doc.trait, "epoch": doc.epoch, "member": member.name, "key": doc.stamp.member, "added": now}
    this = (t.trait == doc.trait) & (t.epoch == doc.epoch) & (t.member == member.name)
    for start in range(0, len(tags), _STEP):
        c.execute(tokens.delete().where(this, t.tag.in_(tags[start : start + _STEP])))
    c.execute(tokens.insert(), [{**common, "tag": x.tag, "share": x.share, "sealed": x.sealed} for x in doc.tokens])
    reached = _answer_all(db, c, tags, threshold, now)
    root = sha256("".join(tags).encode()).hexdigest()
    detail = {"member": member.name, "trait": doc.trait, "epoch": doc.epoch, "tokens": len(tags), "root": root, "release": release.id}
    db.record(c, "tokens", detail, now)
    return {"taken": len(tags), "answered": reached}


def _answer_all(db: Database, c: Connection, tags: Sequence[str], threshold: int, now: int) -> int:
    """Bring the answers to these tags up to date; returns how many there is something new to tell of."""
    t, a = tokens.c, answers_table.c
    told: list[tuple[str, str, str]] = []
    for start in range(0, len(tags), _STEP):
        some = tags[start : start + _STEP]
        joined = sa.select(tokens, members.c.owner).join(members, members.c.name == t.member)
        groups: dict[tuple[str, str, str], list[Any]] = {}
        for r in c.execute(joined.where(t.tag.in_(some), members.c.revoked.is_(None)).order_by(t.tag, t.member)):
            groups.setdefault((r.trait, r.epoch, r.tag), []).append(r)
        before = {(r.trait, r.epoch, r.tag): r for r in c.execute(sa.select(answers_table).where(a.tag.in_(some)))}
        bodies = {key: _answer(groups.get(key, []), threshold) for key in sorted({*groups, *before})}
        changed = [key for key, body in bodies.items() if body != (before[key].body if key in before else None)]
        gone = [before[key].seq for key in changed if key in before]
        if gone:
            c.execute(answers_table.delete().where(a.seq.in_(gone)))
        new = [
            {"trait": key[0], "epoch": key[1], "tag": key[2], "at": now, "body": bodies[key]} for key in changed if bodies[key] is not None
        ]
        if new:
            c.execute(answers_table.insert(), new)
        told += [key for key in changed if bodies[key] is not None]
    if told:
        db.record(c, "quorum", {"at_least": threshold, "tags": [list(key) for key in told]}, now)
    return len(told)


def _answer(rows: Sequence[Any], threshold: int) -> bytes | None:
    """What contributors are told of a tag; None below quorum.  Accounts of one owner count once."""
    one_each = {r.owner: r for r in reversed(rows)}
    if len(one_each) < threshold:
        return None
    contexts = open_seals(list(one_each.values()), threshold)
    if len(contexts) < threshold:
        return None
    # How many there are beyond the quorum is nobody's business.
    spans = sorted({(x.first.isoformat(), x.last.isoformat()) for x in contexts.values()})
    return rfc8785.dumps(
        {"at_least": threshold, "campaigns": sorted({x.campaign for x in contexts.values()}), "spans": [list(s) for s in spans]}
    )


def _batch(body: Any, member: Member) -> tuple[Release, Tokens]:
    try:
        release = reopen(body["document"])
        signature = bytes.fromhex(body["signature"])
        doc = release.document
        if set(body) != {"document", "signature"} or not isinstance(doc, Tokens):
            raise QuorumError(422, "a batch is a document of kind tokens and its signature, nothing else")
        public = member.publics.get(doc.stamp.member)
        if public is None or key_id(public) != doc.stamp.member:
            raise QuorumError(422, "stamp.member: not a key that you have enrolled here")
        public.verify(signature, release.canonical)
    except InvalidSignature:
        raise QuorumError(422, "signature: it does not hold for this document") from None
    except DocumentError as error:
        raise QuorumError(422, f"document: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, QuorumError):
            raise
        raise QuorumError(422, f"a batch is a document and its signature ({type(error).__name__})") from None
    return release, doc


def answers(c: Connection, member: Member, after: int) -> list[dict[str, object]]:
    """Answers to tags that the member itself has sent, after a number."""
    a, t = answers_table.c, tokens.c
    mine = sa.exists().where(a.trait == t.trait, a.epoch == t.epoch, a.tag == t.tag, t.member == member.name)
    query = sa.select(a.seq, a.trait, a.epoch, a.tag, a.body).where(a.seq > after, mine)
    rows = c.execute(query.order_by(a.seq).limit(1000))
    return [{"seq": r.seq, "trait": r.trait, "epoch": r.epoch, "tag": r.tag, **json.loads(r.body)} for r in rows]


def withdraw(db: Database, c: Connection, tags: Sequence[str], member: Member, threshold: int, now: int) -> int:
    """Forget a member's own tags; answers that no longer have a quorum go with them."""
    t = tokens.c
    count = 0
    for start in range(0, len(tags), _STEP):
        count += c.execute(tokens.delete().where(t.member == member.name, t.tag.in_(tags[start : start + _STEP]))).rowcount
    _answer_all(db, c, tags, threshold, now)
    db.record(c, "tokens-withdrawn", {"member": member.name, "tokens": count}, now)
    return count


def sweep(db: Database, c: Connection, now: int) -> int:
    """Forget tags that are older than ``KEEP`` days."""
    count = c.execute(tokens.delete().where(tokens.c.added < now - KEEP * DAY)).rowcount
    c.execute(answers_table.delete().where(answers_table.c.at < now - KEEP * DAY))
    return count
