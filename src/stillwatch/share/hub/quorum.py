"""How the hub joins tags once a day without learning anything below quorum; nobody is told about a tag that it did not send.

A batch that comes in is examined by itself and appended, whole and signed: neither the answer to it nor its time can tell what others sent.  After the end of
the day a run of its own reads the batches, joins tags and writes answers, which all members are shown from then on.  ``batches`` are what counts; ``tokens`` is
made of them.  The run is many short transactions, each of which can be the last: what is begun is gone on with.
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections import Counter as Counts
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, get_args

import rfc8785
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy.engine import Connection

from stillwatch.share.hub import daily
from stillwatch.share.hub.database import DAY, Database, HubError, Member
from stillwatch.share.hub.tables import answers, batches, holder_keys, members, settings, tokens
from stillwatch.share.release import DocumentError, Release, Tokens, reopen
from stillwatch.share.release.document import TraitKind
from stillwatch.share.tlog import log as tree
from stillwatch.share.tokens.seal import LARGEST, LEAST_QUORUM, SMALLEST, batch_bytes, epochs
from stillwatch.share.wire.stix import key_id

#: How long a tag can match and an answer is shown, and how long the signed batch is kept as a trace; in days.
KEEP: Final = 90
KEEP_BATCHES: Final = 730
#: Alarm above this share of a day's quota; and where so many tags of a month match less than one in a thousand.
BUSY, MANY = 0.8, 50_000
_PAGE: Final = 1000  # answers
_LOG: Final = logging.getLogger("stillwatch.hub")


class QuorumError(ValueError):
    """A batch that is refused; ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Examined:
    """A batch that is in order as far as it can be told from itself."""

    release: Release
    document: Tokens
    holder: str
    signature: str
    body: bytes


class Matching:
    """The matching of one hub.

    Args:
        db: the hub's store.
        quorum: owners that must have sent a tag before anybody is told.
        a_day: tags, padding among them, that a member may send in 24 hours for each kind of trait.
        every: seconds from answers to answers, on the clock: 86,400 is midnight UTC.
        registry: where metrics go.
        now: microseconds; a new hub's first answers are of the time after.

    Raises:
        HubError: a quorum below ``LEAST_QUORUM``.
    """

    def __init__(self, db: Database, *, quorum: int, a_day: int, every: float, registry: CollectorRegistry, now: int) -> None:
        if quorum < LEAST_QUORUM:
            raise HubError(f"a quorum of {quorum} tells a member's traits to the hub: give at least {LEAST_QUORUM}, better 3")
        self.db, self.quorum, self.a_day, self.every = db, quorum, a_day, round(every * 1_000_000)
        self._looked: dict[str, int] = {}
        with db.write() as c:
            if not self.until(c):
                self._answered(c, now - now % self.every)
        by = "stillwatch_hub_tokens_"
        self._used = Gauge(by + "quota_used", "Share of the quota of 24 hours, at the last batch.", ["member", "trait"], registry=registry)
        self._unmatched = Gauge(by + "unmatched", "Share of a member's tags that match nothing.", ["member"], registry=registry)
        self._full = Counter(by + "full_batches_total", "Batches of the largest size.", ["member", "trait"], registry=registry)
        self._refused = Counter(by + "refused_total", "Batches refused.", ["member", "status"], registry=registry)
        self._alarms = Counter("stillwatch_hub_matching_alarms_total", "What looks like guessing.", ["member", "why"], registry=registry)

    # What comes in: appended, and nothing of others is looked at

    def examine(self, body: Any, member: Member, today: str) -> Examined:
        """What can be told from a batch itself, outside of any transaction.

        Raises:
            QuorumError: it is not in order, or not signed by the member, or the member may not write.
        """
        may_match(member)
        try:
            return self._examined(body, member, today)
        except QuorumError as error:
            self._refused.labels(member.name, error.status).inc()
            raise

    def _examined(self, body: Any, member: Member, today: str) -> Examined:
        try:
            if set(body) != {"document", "holder", "quorum", "signature"}:
                raise QuorumError(422, "a batch is document, holder, quorum and signature, nothing else")
            release, holder, signature = reopen(body["document"]), body["holder"], bytes.fromhex(body["signature"])
            doc = release.document
            if not isinstance(doc, Tokens):
                raise QuorumError(422, "a batch is a document of kind tokens")
            if type(body["quorum"]) is not int or body["quorum"] != self.quorum:
                raise QuorumError(422, f"quorum: the shares were made for another quorum than this hub's, {self.quorum}; seal them anew")
            public = member.publics.get(doc.stamp.member)
            if public is None or key_id(public) != doc.stamp.member:
                raise QuorumError(422, "stamp.member: not a key that you have enrolled here")
            if len(bytes.fromhex(holder)) != 32 or holder != holder.lower():
                raise QuorumError(422, "holder: not a SHA-256 in hex")
            public.verify(signature, batch_bytes(release, holder, self.quorum))
        except InvalidSignature:
            raise QuorumError(422, "signature: it does not hold for this batch") from None
        except DocumentError as error:
            raise QuorumError(422, f"document: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            if isinstance(error, QuorumError):
                raise
            raise QuorumError(422, f"not a batch and its signature ({type(error).__name__})") from None
        size = len(doc.tokens)
        if not SMALLEST <= size <= LARGEST or size & (size - 1):
            raise QuorumError(422, f"tokens: {size}; pad with random ones to a power of two from {SMALLEST} to {LARGEST}")
        yesterday = (date.fromisoformat(today) - timedelta(days=1)).isoformat()
        if not yesterday <= doc.stamp.day <= today < doc.stamp.valid_until:
            raise QuorumError(422, "stamp: the batch is of another day than this one and the one before, or has expired")
        if doc.epoch not in epochs(date.fromisoformat(today)):
            raise QuorumError(422, f"epoch: {doc.epoch} is over; blind the traits again with the key of this one")
        return Examined(release, doc, holder, signature.hex(), zlib.compress(release.canonical, 1))

    def take_in(self, c: Connection, e: Examined, member: Member, now: int) -> dict[str, object]:
        """Append a batch, in the caller's transaction; says how many were taken and nothing else.

        Raises:
            QuorumError: above the quota, or blinded with another key than the first that was logged.
        """
        doc, size = e.document, len(e.document.tokens)
        spent = self.spent(c, member.name, doc.trait, now)
        if spent + size > self.a_day:
            self._refused.labels(member.name, 429).inc()
            self._alarm(member.name, "quota")
            raise QuorumError(
                429, f"{spent} traits of this kind in a day, padding and what was withdrawn included; the quota is {self.a_day}"
            )
        self._pin(c, e, member, now)
        common = {"member": member.name, "trait": doc.trait, "epoch": doc.epoch}
        row = {"kind": "batch", "size": size, "quorum": self.quorum, "holder": e.holder, "signature": e.signature, "body": e.body}
        c.execute(batches.insert().values(**common, **row, at=now, progress=0, is_read=False))
        root = tree.digests_root(x.tag for x in doc.tokens)
        self.db.record(c, "tokens", {**common, "tokens": size, "root": root, "release": e.release.id, "holder": e.holder}, now)
        self._used.labels(member.name, doc.trait).set((spent + size) / self.a_day)
        if size == LARGEST:
            self._full.labels(member.name, doc.trait).inc()
        if spent + size > BUSY * self.a_day >= spent:
            self._alarm(member.name, "busy")
        return {"taken": size}

    def withdraw(self, c: Connection, tags: Sequence[str], member: Member, now: int) -> int:
        """Append that a member takes tags back; they count towards the quota all the same.  Returns how many were named, not whether they were there.

        Raises:
            QuorumError: more in a day than could have been sent, or the member may not write.
        """
        may_match(member)
        named = sorted(set(tags))
        if self.spent(c, member.name, "", now) + len(named) > self.a_day * len(get_args(TraitKind)):
            raise QuorumError(429, "more was withdrawn in a day than can be sent in one")
        row = {"trait": "", "epoch": "", "size": len(named), "quorum": self.quorum, "holder": "", "signature": ""}
        body = zlib.compress(rfc8785.dumps(named), 1)
        c.execute(batches.insert().values(member=member.name, kind="withdrawal", **row, body=body, at=now, progress=0, is_read=False))
        self.db.record(c, "tokens-withdrawn", {"member": member.name, "tokens": len(named)}, now)
        return len(named)

    @staticmethod
    def spent(c: Connection, member: str, trait: str, now: int) -> int:
        """Tags that a member sent in the last 24 hours, whatever became of them; of trait "" those that it withdrew."""
        b = batches.c
        return int(c.execute(sa.select(sa.func.sum(b.size)).where(b.member == member, b.trait == trait, b.at > now - DAY)).scalar() or 0)

    def _pin(self, c: Connection, e: Examined, member: Member, now: int) -> None:
        pinned = self.holder_key(c, e.document.trait, e.document.epoch)
        if pinned is not None and pinned.digest != e.holder:
            self._refused.labels(member.name, 409).inc()
            raise QuorumError(
                409, f"holder: not the key-holder's key of entry {pinned.entry} of the log; stop and compare keys with the other members"
            )
        if pinned is None:
            detail = {"trait": e.document.trait, "epoch": e.document.epoch, "key": e.holder}
            entry = self.db.record(c, "key-holder-key", detail, now)
            row = {"trait": e.document.trait, "epoch": e.document.epoch, "digest": e.holder, "member": member.name, "entry": entry}
            c.execute(holder_keys.insert().values(**row))

    @staticmethod
    def holder_key(c: Connection, trait: str, epoch: str) -> Any | None:
        """The first key-holder's key that was logged (row); one that a member brought who was shut out since does not count."""
        h, m = holder_keys.c, members.c
        query = sa.select(holder_keys).join(members, m.name == h.member).where(h.trait == trait, h.epoch == epoch, m.revoked.is_(None))
        return c.execute(query.order_by(h.entry)).first()

    # What members see

    def terms(self, c: Connection) -> dict[str, object]:
        """What holds for all: quorum, sizes, the end of the time that answers are of, and key-holder's keys with what proves that they are in the log."""
        shown = []
        for trait, epoch in sorted({(r.trait, r.epoch) for r in c.execute(sa.select(holder_keys))}):
            pinned = self.holder_key(c, trait, epoch)
            if pinned is not None:
                (entry,) = self.db.entries(c, pinned.entry, pinned.entry + 1)
                proof = {"entry": pinned.entry, "salt": entry.salt.hex()}
                shown.append({"trait": trait, "epoch": epoch, "key": pinned.digest, **proof})
        sizes = {"smallest": SMALLEST, "largest": LARGEST}
        return {"quorum": self.quorum, **sizes, "every": self.every // 1_000_000, "until": self.until(c) // 1_000_000, "keys": shown}

    def answers(self, c: Connection, member: Member, after: int) -> list[dict[str, object]]:
        """Answers of finished days to the member's own tags, after a number.

        Raises:
            QuorumError: the member may not write.
        """
        may_match(member)
        a = answers.c
        query = sa.select(answers).where(a.member == member.name, a.seq > after, a.at <= self.until(c))
        rows = c.execute(query.order_by(a.seq).limit(_PAGE))
        return [{"seq": r.seq, "trait": r.trait, "epoch": r.epoch, "tag": r.tag, **json.loads(r.body)} for r in rows]

    def looked(self, c: Connection, member: Member, now: int) -> None:
        """Log that a member read its answers: once a run, found or not, for the number of entries must not tell whether there were any."""
        until = self.until(c)
        if self._looked.get(member.name) != until:
            self.db.record(c, "answers-read", {"member": member.name, "until": until // 1_000_000}, now)
            self._looked[member.name] = until

    # The daily run

    @staticmethod
    def until(c: Connection) -> int:
        """The end of the time that answers are of, microseconds."""
        return int(c.execute(sa.select(settings.c.value).where(settings.c.name == "answered")).scalar() or 0)

    def settle(self, now: int) -> bool:
        """Answer what came in until the last full day's end, if that was not done yet; transactions of its own.  Returns whether there was a run."""
        boundary = now - now % self.every
        with self.db.read() as c:
            if self.until(c) >= boundary:
                return False
        today = datetime.fromtimestamp(now // 1_000_000, UTC).date().isoformat()
        parsed: dict[int, Any] = {}
        while self._step(boundary, lambda c: daily.read_batch(c, boundary, parsed)):
            pass
        while self._step(boundary, lambda c: daily.join(c, boundary, self.quorum, today)):
            pass
        with self.db.read() as c:
            found = self._found(c, boundary)
        return self._step(boundary, lambda c: self._finish(c, boundary, found, now))

    def _step(self, boundary: int, work: Callable[[Connection], bool]) -> bool:
        start = time.perf_counter()
        with self.db.write() as c:  # another process of this hub may have finished the run meanwhile
            more = self.until(c) < boundary and work(c)
        if more:  # leave others as much time to write as was taken
            time.sleep(min(0.1, time.perf_counter() - start))
        return more

    @staticmethod
    def _found(c: Connection, boundary: int) -> dict[str, list[list[Any]]]:
        """By state, how many tags of which kind and epoch there is something new to tell of."""
        tags: dict[str, Counts[tuple[str, str]]] = {"matched": Counts(), "withdrawn": Counts()}
        last, a = None, answers.c
        for r in c.execute(sa.select(answers).where(a.at == boundary).order_by(a.trait, a.epoch, a.tag, a.body)):
            this = (json.loads(r.body)["state"], r.trait, r.epoch, r.tag)
            tags[this[0]][r.trait, r.epoch] += this != last
            last = this
        return {state: [[*kind, n] for kind, n in sorted(counts.items())] for state, counts in tags.items()}

    def _finish(self, c: Connection, boundary: int, found: dict[str, list[list[Any]]], now: int) -> bool:
        """Show what the run found; one entry of the log, the same for a day on which nothing matched."""
        a, later = answers.c, answers.alias()
        same = [later.c[n] == a[n] for n in ("member", "trait", "epoch", "tag")]
        newer = sa.exists().where(later.c.at == boundary, *same)
        c.execute(answers.delete().where(a.at < boundary, newer))
        self.db.record(c, "quorum", {"at_least": self.quorum, "until": boundary // 1_000_000, **found}, now)
        self._answered(c, boundary)
        self._watch(c, now)
        return True

    @staticmethod
    def _answered(c: Connection, boundary: int) -> None:
        c.execute(settings.delete().where(settings.c.name == "answered"))
        c.execute(settings.insert().values(name="answered", value=str(boundary).encode()))

    def _watch(self, c: Connection, now: int) -> None:
        """Metrics of the run.  Values are blinded, so counting upwards cannot be seen; that nearly nothing of very many tags matches can."""
        t, a, b = tokens.c, answers.c, batches.c
        matched = {r.member: r.n for r in c.execute(sa.select(a.member, sa.func.count().label("n")).group_by(a.member))}
        recent = sa.select(b.member, sa.func.sum(b.size).label("n")).where(b.kind == "batch", b.at > now - 30 * DAY).group_by(b.member)
        sent = {r.member: int(r.n) for r in c.execute(recent)}
        for r in c.execute(sa.select(t.member, sa.func.count().label("n")).where(t.turn == 0).group_by(t.member)):
            share = 1 - min(1.0, matched.get(r.member, 0) / r.n)
            self._unmatched.labels(r.member).set(share)
            if sent.get(r.member, 0) >= MANY and share > 0.999:
                self._alarm(r.member, "matches nothing")

    def _alarm(self, member: str, why: str) -> None:
        self._alarms.labels(member, why).inc()
        _LOG.warning("matching alarm", extra={"data": {"member": member, "why": why}})

    def sweep(self, c: Connection, now: int) -> int:
        """Forget tags and answers after ``KEEP`` days, batches after ``KEEP_BATCHES``."""
        count = c.execute(tokens.delete().where(tokens.c.added < now - KEEP * DAY)).rowcount
        c.execute(answers.delete().where(answers.c.at < now - KEEP * DAY))
        c.execute(batches.delete().where(batches.c.at < now - KEEP_BATCHES * DAY))
        return count


def may_match(member: Member) -> None:
    """Only who may write in a collection takes part.

    Raises:
        QuorumError: the member may only read, or is no lab.
    """
    if not any(can_write for _, can_write in member.rights.values()):
        raise QuorumError(403, "You may not write here, so nothing is matched for you.")
