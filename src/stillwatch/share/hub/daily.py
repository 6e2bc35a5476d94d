"""The daily run: reads batches into ``tokens``, joins tags and writes what each member is told; each step is a transaction of its caller's."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import rfc8785
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from stillwatch.share.hub.tables import answers, batches, members, objects, rights, tokens
from stillwatch.share.tokens.seal import SUSPICION, Opened, open_seals

#: Tags of one transaction: while it lasts, others wait to write.
_READ, _JOIN = 500, 100
Key = tuple[str, str, str]  # trait, epoch, tag
Span = tuple[str, str]  # first and last day
Found = Sequence[tuple[Any, list[Span]]]  # submissions that opened, and the days of their released campaigns


def read_batch(c: Connection, boundary: int, parsed: dict[int, Any]) -> bool:
    """Read some of the next batch or withdrawal of before ``boundary`` into ``tokens``; False where there is none.

    Args:
        parsed: the batch that is being read, kept between steps.
    """
    b, t = batches.c, tokens.c
    row = c.execute(sa.select(batches).where(b.is_read.is_(False), b.at < boundary).order_by(b.number).limit(1)).first()
    if row is None:
        return False
    if row.number not in parsed:
        parsed.clear()
        parsed[row.number] = json.loads(zlib.decompress(row.body))
    body = parsed[row.number]
    every = body if row.kind == "withdrawal" else body["tokens"]
    some = every[row.progress : row.progress + _READ]
    if row.kind == "withdrawal":
        mine = (t.member == row.member) & t.tag.in_(some) & t.withdrawn.is_(None)
        c.execute(tokens.update().where(mine).values(withdrawn=row.at, is_fresh=True))
    else:
        stamp = {"key": body["stamp"]["member"], "day": body["stamp"]["day"], "quorum": row.quorum, "added": row.at, "batch": row.number}
        common = {"trait": row.trait, "epoch": row.epoch, "member": row.member, **stamp, "is_fresh": True}
        mine = (t.trait == row.trait) & (t.epoch == row.epoch) & (t.member == row.member) & t.tag.in_([x["tag"] for x in some])
        there = {r.tag for r in c.execute(sa.select(t.tag).where(mine, t.turn == 0))}
        c.execute(tokens.delete().where(mine, t.turn == 1))
        c.execute(tokens.insert(), [{**common, **x, "turn": int(x["tag"] in there)} for x in some])
    done = row.progress + len(some)
    c.execute(batches.update().where(b.number == row.number).values(progress=done, is_read=done >= len(every)))
    return True


def join(c: Connection, boundary: int, quorum: int, today: str) -> bool:
    """Join the next tags that something came in for, and write down what is new to tell of them; False where there are none."""
    t, a = tokens.c, answers.c
    fresh = sa.select(t.tag).where(t.is_fresh.is_(True)).distinct().order_by(t.tag).limit(_JOIN)
    tags = [r.tag for r in c.execute(fresh)]
    if not tags:
        return False
    may = sa.exists().where(rights.c.member == t.member, rights.c.can_write.is_(True))
    live = sa.select(tokens, members.c.owner).join(members, members.c.name == t.member)
    live = live.where(t.tag.in_(tags), t.withdrawn.is_(None), t.quorum == quorum, members.c.revoked.is_(None), may)
    groups: dict[Key, list[Any]] = {}
    for r in c.execute(live.order_by(t.batch, t.turn)):
        groups.setdefault((r.trait, r.epoch, r.tag), []).append(r)
    before: dict[Key, dict[str, bytes]] = {}
    for r in c.execute(sa.select(answers).where(a.tag.in_(tags)).order_by(a.at)):
        before.setdefault((r.trait, r.epoch, r.tag), {})[r.member] = r.body
    records = _Records(c, today)
    gone = _body(quorum, "withdrawn", [])
    new: list[dict[str, Any]] = []
    for key in sorted({*groups, *before}):
        was = before.get(key, {})
        opened = _opened(groups.get(key, ()), quorum, records)
        told = {**dict.fromkeys(was, gone), **_told(opened, quorum)}
        _keep(c, opened)
        common = dict(zip(("trait", "epoch", "tag"), key, strict=True)) | {"at": boundary}
        new += [{**common, "member": m, "body": body} for m, body in sorted(told.items()) if was.get(m) != body]
    _number(c, new, boundary)
    if new:
        c.execute(answers.insert(), new)
    c.execute(tokens.update().where(t.tag.in_(tags), t.is_fresh.is_(True)).values(is_fresh=False))
    return True


def _opened(rows: Sequence[Any], quorum: int, records: _Records) -> Found:
    """(submission, days of its released campaign) of what opens and is borne out; nothing below quorum.  Accounts of one owner count once."""
    if len({r.owner for r in rows}) < quorum:
        return []
    found = [(o.row, days) for o in open_seals(rows, quorum) if (days := records.of(o)) is not None]
    return found if len({r.owner for r, _ in found}) >= quorum else []


def _told(opened: Found, quorum: int) -> dict[str, bytes]:
    """What each member is told of a tag at quorum.

    A member is told of the first owners beside itself that make the quorum full, and of what their released campaigns say: whoever comes later changes
    nothing of it, so that it tells neither who nor how many there are.
    """
    spans: dict[str, list[Span]] = {}
    for r, days in opened:
        spans.setdefault(r.owner, []).extend(days)
    out = {}
    for member, owner in {r.member: r.owner for r, _ in opened}.items():
        others = [x for x in spans if x != owner][: quorum - 1]
        every = [day for x in others for span in spans[x] for day in span]
        out[member] = _body(quorum, "matched", every)
    return out


def _keep(c: Connection, opened: Found) -> None:
    """Let a member's submission that made an answer be its first, so that none which it sends later replaces it."""
    t, first = tokens.c, {r.member for r, _ in opened if r.turn == 0}
    for r, _ in opened:
        if r.member not in first:
            this = (t.trait == r.trait) & (t.epoch == r.epoch) & (t.tag == r.tag) & (t.member == r.member)
            c.execute(tokens.delete().where(this, t.turn == 0))
            c.execute(tokens.update().where(this, t.turn == 1).values(turn=0))


def _body(quorum: int, state: str, days: Sequence[str]) -> bytes:
    months = [min(days)[:7], max(days)[:7]] if days else None
    return rfc8785.dumps({"at_least": quorum, "state": state, "released": bool(days), "months": months})


def _number(c: Connection, new: list[dict[str, Any]], boundary: int) -> None:
    """Number answers for each member apart, never again with a number that was given; the clock goes on where old answers were swept away."""
    a, names = answers.c, {n["member"] for n in new}
    last = dict.fromkeys(names, boundary // 1_000_000)
    for r in c.execute(sa.select(a.member, sa.func.max(a.seq).label("seq")).where(a.member.in_(names)).group_by(a.member)):
        last[r.member] = max(last[r.member], r.seq)
    for n in new:
        n["seq"] = last[n["member"]] = last[n["member"]] + 1


class _Records:
    """What the hub's own records bear out of a context that was opened."""

    def __init__(self, c: Connection, today: str) -> None:
        self._c, self._today = c, today
        self._known: dict[tuple[str, str], Span | None] = {}

    def of(self, o: Opened) -> list[Span] | None:
        """Days of the sender's own live released campaign, none for a suspicion; None where the records do not bear it out."""
        given = (o.context.first.isoformat(), o.context.last.isoformat())
        if o.context.campaign == SUSPICION:
            return [] if given == (o.row.day, o.row.day) else None
        return [given] if self._campaign(o.context.campaign, o.row.member) == given else None

    def _campaign(self, ident: str, member: str) -> Span | None:
        if (ident, member) not in self._known:
            x = objects.c
            query = sa.select(x.body).where(x.id == ident, x.type == "campaign", x.member == member, x.is_last.is_(True))
            row = self._c.execute(query.where(x.expires >= self._today)).first()
            o: Any = json.loads(row.body) if row is not None else {"revoked": True}
            self._known[ident, member] = None if o.get("revoked") else (o["first_seen"][:10], o["last_seen"][:10])
        return self._known[ident, member]
