"""The desk's one database: state, ledger, releases, traits that were sent, and partners' records.

Whatever belongs together is one transaction, begun as the only writer, so a process that dies at any point and two that run at once leave a whole desk.  What
goes out is written down before it goes (intent) and again when the hub has answered (done); between the two it is sent again, which does no harm at the hub.

Ledger entries are rows that hold the signed line to the byte; they are only added.  That the newest of them are still there is what the hub's log can tell
(``heads``), for whoever can write the file can also take rows out of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillwatch.store.sqlite import Database, DatabaseError, Kind

NAME: Final = "desk.db"
_FIRST: Final = (
    "CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE entry (n INTEGER PRIMARY KEY, kind TEXT NOT NULL, line BLOB NOT NULL) STRICT",
    "CREATE INDEX entry_kind ON entry (kind)",
    "CREATE TRIGGER entry_stays BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END",
    "CREATE TRIGGER entry_is_kept BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END",
    # prepared, approved: the ledger's entries that say so, with digests and signatures
    "CREATE TABLE release (id TEXT PRIMARY KEY, document BLOB NOT NULL, bundle BLOB NOT NULL, stays TEXT NOT NULL, prepared INTEGER NOT NULL,"
    " approved INTEGER, stage TEXT NOT NULL CHECK (stage IN ('prepared', 'approved', 'sending', 'sent'))) STRICT, WITHOUT ROWID",
    "CREATE TABLE tag (tag TEXT PRIMARY KEY, campaign TEXT NOT NULL, trait TEXT NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX tag_campaign ON tag (campaign)",
    # batches of traits between intent and done, as they were signed
    "CREATE TABLE batch (release TEXT PRIMARY KEY, body TEXT NOT NULL, detail TEXT NOT NULL) STRICT, WITHOUT ROWID",
    # an id belongs to the partner that it first came from, whatever becomes of it
    "CREATE TABLE inbox (id TEXT PRIMARY KEY, owner TEXT NOT NULL, type TEXT NOT NULL, version TEXT NOT NULL, about TEXT NOT NULL, state TEXT NOT NULL"
    " CHECK (state IN ('live', 'retracted', 'expired', 'deleted')), valid_until TEXT NOT NULL, object TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX inbox_live ON inbox (valid_until) WHERE state = 'live'",
)
KIND: Final = Kind("desk", 0x5357444B, (_FIRST,))


class DeskError(ValueError):
    """The desk cannot be used as asked; the message names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A release of ours: the document and the bundle to the byte, what stayed, and how far it has come."""

    id: str
    document: bytes
    bundle: bytes
    stays: str
    prepared: int  # the ledger's entry
    approved: int | None
    stage: str


@dataclass(frozen=True, slots=True)
class Record:
    """A partner's object as it was taken in; ``owner`` is the partner's key by which it was first known."""

    id: str
    owner: str
    type: str
    version: str
    about: str
    state: str
    valid_until: str
    object: dict[str, Any]


@dataclass(slots=True)
class Book:
    """An opened database of a desk."""

    db: Database
    _writer: Connection | None = field(default=None, init=False)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction; within another it is a part of that one.

        Raises:
            DeskError: the disk is full, or another process wrote for longer than one's patience.
        """
        if self._writer is not None:
            yield self._writer
            return
        try:
            with self.db.write() as db:
                self._writer = db
                try:
                    yield db
                finally:
                    self._writer = None
        except DatabaseError as error:
            raise DeskError(str(error)) from None

    def read(self, sql: str, *values: object) -> list[Any]:
        """The rows of a query, with what the open transaction has written."""
        try:
            return self.db.read(sql, *values)
        except DatabaseError as error:
            raise DeskError(str(error)) from None

    # State

    def state(self) -> dict[str, Any]:
        """What is remembered between commands; ``tags`` maps the tag of each trait that was sent to [campaign, kind, value]."""
        found = {r["name"]: json.loads(r["value"]) for r in self.read("SELECT name, value FROM state")}
        tags = {r["tag"]: [r["campaign"], r["trait"], r["value"]] for r in self.read("SELECT * FROM tag")}
        return found | ({"tags": tags} if tags else {})

    def remember(self, values: Mapping[str, object]) -> None:
        """Add to the state."""
        with self.write() as db:
            rows = [(k, json.dumps(v)) for k, v in values.items()]
            db.executemany("INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", rows)

    def recall(self, name: str) -> Any:
        """One value of the state, None where there is none."""
        found = self.read("SELECT value FROM state WHERE name = ?", name)
        return json.loads(found[0]["value"]) if found else None

    def keep_tags(self, tags: Mapping[str, Iterable[str]]) -> None:
        """Keep what was sent for matching: tag -> (campaign, kind, value)."""
        with self.write() as db:
            rows = [(tag, *what) for tag, what in tags.items()]
            db.executemany(
                "INSERT INTO tag (tag, campaign, trait, value) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET campaign = excluded.campaign",
                rows,
            )

    def intend(self, release: str, body: Mapping[str, Any], detail: Mapping[str, Any]) -> None:
        """Put down a batch of traits that is about to go."""
        with self.write() as db:
            db.execute(
                "INSERT OR REPLACE INTO batch (release, body, detail) VALUES (?, ?, ?)", (release, json.dumps(body), json.dumps(detail))
            )

    def intended(self) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Batches that were meant to go and of which it is not known that they arrived: (release, body, detail)."""
        rows = self.read("SELECT release, body, detail FROM batch ORDER BY release")
        return [(r["release"], json.loads(r["body"]), json.loads(r["detail"])) for r in rows]

    def done(self, release: str) -> bool:
        """Put down that a batch has arrived; whether it was not put down before."""
        with self.write() as db:
            return db.execute("DELETE FROM batch WHERE release = ? RETURNING release", (release,)).fetchone() is not None

    # Ledger

    def head(self) -> tuple[int, str]:
        """(number of entries, digest of the last one's line)."""
        last = self.read("SELECT n, line FROM entry ORDER BY n DESC LIMIT 1")
        return (int(last[0]["n"]) + 1, sha256(last[0]["line"]).hexdigest()) if last else (0, "")

    def record(self, kind: str, detail: Mapping[str, Any], now: float, key: Ed25519PrivateKey) -> int:
        """Append to the ledger; returns the entry's number."""
        with self.write() as db:
            n, before = self.head()
            body: dict[str, Any] = {"n": n, "at": time_text(now), "kind": kind, "detail": dict(detail), "before": before}
            line = rfc8785.dumps({**body, "signature": key.sign(rfc8785.dumps(body)).hex()})
            db.execute("INSERT INTO entry (n, kind, line) VALUES (?, ?, ?)", (n, kind, line))
        return n

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """The entries of a kind, unchecked: for what is done again without harm; what somebody is held to is read with ``checked``."""
        return [json.loads(r["line"]) for r in self.read("SELECT line FROM entry WHERE kind = ? ORDER BY n", kind)]

    def entry(self, n: int) -> dict[str, Any]:
        """One entry, unchecked as in ``entries``; empty where there is none."""
        rows = self.read("SELECT line FROM entry WHERE n = ?", n)
        return dict(json.loads(rows[0]["line"])) if rows else {}

    def lines(self) -> list[bytes]:
        """The ledger as it was written."""
        return [bytes(r["line"]) for r in self.read("SELECT line FROM entry ORDER BY n")]

    # Releases

    def releases(self) -> list[Outgoing]:
        """Releases of ours, in the order of their approval."""
        return [
            Outgoing(*r)
            for r in self.read("SELECT id, document, bundle, stays, prepared, approved, stage FROM release ORDER BY approved, id")
        ]

    def release(self, ident: str) -> Outgoing | None:
        """One of them by its whole id."""
        rows = self.read("SELECT id, document, bundle, stays, prepared, approved, stage FROM release WHERE id = ?", ident)
        return Outgoing(*rows[0]) if rows else None

    def put(self, r: Outgoing) -> None:
        """Put a release in the place of what was known of it."""
        with self.write() as db:
            values = (r.id, r.document, r.bundle, r.stays, r.prepared, r.approved, r.stage)
            db.execute(
                "INSERT OR REPLACE INTO release (id, document, bundle, stays, prepared, approved, stage) VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            )

    # Partners' records

    def inbox(self, kind: str | None = None) -> list[Record]:
        """Partners' records, by partner and id."""
        rows = self.read(
            "SELECT id, owner, type, version, about, state, valid_until, object FROM inbox WHERE ? IS NULL OR type = ? ORDER BY owner, id",
            kind,
            kind,
        )
        return [_record(r) for r in rows]

    def received(self, ident: str) -> Record | None:
        """One of them by its id."""
        rows = self.read("SELECT id, owner, type, version, about, state, valid_until, object FROM inbox WHERE id = ?", ident)
        return _record(rows[0]) if rows else None

    def take_in(self, r: Record) -> None:
        """Put a partner's record in the place of its earlier version."""
        with self.write() as db:
            values = (r.id, r.owner, r.type, r.version, r.about, r.state, r.valid_until, json.dumps(r.object))
            db.execute(
                "INSERT OR REPLACE INTO inbox (id, owner, type, version, about, state, valid_until, object) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )


def _record(row: Any) -> Record:
    return Record(**{**dict(row), "object": json.loads(row["object"])})


def checked(lines: Iterable[bytes], where: Path, public: Ed25519PublicKey, place: str = "entry") -> list[dict[str, Any]]:
    """Ledger entries, each checked against the chain and the key that was in force when it was written.

    Args:
        lines: as they were written.
        where: for messages.
        public: the key in force now; from it the entries that changed keys lead back.
        place: what a line is called in messages.

    Raises:
        DeskError: a line was changed, removed or added by another hand.
    """
    out: list[dict[str, Any]] = []
    last, every = "", list(lines)
    key = _first_key(every, public)
    for n, line in enumerate(every):
        try:
            entry = json.loads(line)
            body = {k: v for k, v in entry.items() if k != "signature"}
            key.verify(bytes.fromhex(entry["signature"]), rfc8785.dumps(body))
            if body["n"] != n or body["before"] != last:
                raise ValueError("the chain is broken")
            if body["kind"] == "key-changed":
                key = changed_key(entry, key)
        except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError) as error:
            number = n + 1 if place == "line" else n
            raise DeskError(f"{where}, {place} {number}: not as it was written ({error or 'its signature does not hold'})") from None
        last = sha256(line).hexdigest()
        out.append(entry)
    if key.public_bytes_raw() != public.public_bytes_raw():
        raise DeskError(f"{where}: the ledger's last key is not lab.key; put the lab.key back that belongs to it")
    return out


def _first_key(lines: list[bytes], public: Ed25519PublicKey) -> Ed25519PublicKey:
    for line in lines:
        if b'"kind":"key-changed"' in line:
            try:
                return Ed25519PublicKey.from_public_bytes(bytes.fromhex(json.loads(line)["detail"]["statement"]["old"]))
            except (ValueError, KeyError, TypeError):
                return public
    return public


def changed_key(entry: Mapping[str, Any], old: Ed25519PublicKey) -> Ed25519PublicKey:
    """The key that an entry brings into force: old key and new key have signed its statement (the person's signature is checked with the persons).

    Raises:
        ValueError: the statement is another's or of another place of the ledger.
        InvalidSignature: a signature does not hold.
    """
    said = entry["detail"]["statement"]
    new = Ed25519PublicKey.from_public_bytes(bytes.fromhex(said["new"]))
    if said["old"] != old.public_bytes_raw().hex() or said["n"] != entry["n"]:
        raise ValueError("a change of key that belongs elsewhere")
    signed = rfc8785.dumps(said)
    for key, name in ((old, "by_old"), (new, "by_new")):
        key.verify(bytes.fromhex(entry["detail"][name]), signed)
    return new


def time_text(now: float) -> str:
    """Epoch seconds as the ledger writes them."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
