"""Everything the hub keeps, in SQLite or PostgreSQL: one transaction for a change and for its entry in the log.

Writers take turns, also between processes, so that rows become visible in the order of their numbers and a reader that goes on from the last number never
misses one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import rfc8785
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.engine import Connection, Engine

from stillwatch.share.hub.tables import (
    collections,
    cosignatures,
    ids,
    keys,
    log,
    members,
    metadata,
    nodes,
    objects,
    rights,
    settings,
    statements,
    status,
)
from stillwatch.share.hub.taxii import Wanted
from stillwatch.share.net.access import hashed
from stillwatch.share.tlog import log as tree
from stillwatch.share.wire import persons as people
from stillwatch.share.wire import stix as wire
from stillwatch.share.wire.stix import key_id
from stillwatch.share.wire.vocabulary import constants

#: The advisory lock that PostgreSQL writers take.
_WRITER: Final = 0x5711_1A7C
DAY: Final = 86_400_000_000
#: The newest migration; a test holds it to the files.
HEAD: Final = "0005"
#: Expiry of objects that say nothing about anybody.
FOREVER: Final = "9999-12-31"


class HubError(ValueError):
    """What the hub's operator asked for cannot be done; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who was enrolled; ``keys`` are the fingerprints of the keys that are not retired, ``all_keys`` all that it ever had."""

    name: str
    owner: str
    role: str
    keys: tuple[str, ...]
    all_keys: frozenset[str]
    publics: Mapping[str, Ed25519PublicKey]
    rights: Mapping[str, tuple[bool, bool]]  # collection -> can read, can write


@dataclass(frozen=True, slots=True)
class Incoming:
    """An examined object on its way in."""

    id: str
    type: str
    version: str
    at: int
    about: str
    expires: str
    body: bytes
    got: wire.Received | None = None  # None for what is the same everywhere


def open_database(url: str) -> Engine:
    """An engine for ``sqlite:///FILE``, a path, or ``postgresql://...``, migrated to the newest tables.

    Raises:
        HubError: there is no such database.
    """
    if "://" not in url:
        url = f"sqlite:///{url}"
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+pg8000://", 1)
    if url.startswith("sqlite"):
        path = Path(url.partition("///")[2])
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
        engine = sa.create_engine(url, connect_args={"timeout": 60, "check_same_thread": False}, pool_size=8)
        sa.event.listen(engine, "connect", _prepare_sqlite)
    else:
        engine = sa.create_engine(url, pool_pre_ping=True, pool_size=8)
    try:
        migrate(engine)
    except (sa.exc.DatabaseError, sa.exc.InterfaceError, sa.exc.ArgumentError) as error:
        engine.dispose()
        told = str(getattr(error, "orig", None) or error).splitlines()[0][:300]
        raise HubError(f"the database cannot be opened: {told}; if the file is damaged, take the last backup") from None
    except HubError:
        engine.dispose()
        raise
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions are begun by hand
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=60000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def migrate(engine: Engine) -> None:
    """Bring the tables up to date.

    Raises:
        HubError: they are another program's, or a newer version's.
    """
    with engine.connect() as connection, _begun(connection, write=False):
        there = set(sa.inspect(connection).get_table_names())
        found = None if "alembic_version" not in there else connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found == HEAD:
        return
    if found is None and there & set(metadata.tables):
        raise HubError("the database is another program's, or its hub's tables are not whole: name another file, or take the last backup")
    if found is not None and not found < HEAD:
        raise HubError(f"the database was made by a newer version (its tables are {found}, this version knows {HEAD}): upgrade stillwatch")
    upgrade(engine, "head")


def upgrade(engine: Engine, version: str) -> None:
    """Run the migrations up to a version."""
    # Needed once a version, and half of the time that a command of the operator's takes.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection, _begun(connection, write=True):
        config.attributes["connection"] = connection
        command.upgrade(config, version)


@contextmanager
def _begun(connection: Connection, *, write: bool) -> Iterator[None]:
    """A transaction; one writer at a time."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
    elif write:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITER)))
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


class Database:
    """The hub's store.

    Args:
        engine: see ``open_database``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with self.write() as c:
            if c.execute(sa.select(settings.c.value).where(settings.c.name == "paging")).scalar() is None:
                c.execute(settings.insert().values(name="paging", value=os.urandom(32)))
        with self.read() as c:
            self.paging_key: bytes = c.execute(sa.select(settings.c.value).where(settings.c.name == "paging")).scalar_one()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state."""
        with self._engine.connect() as c, _begun(c, write=False):
            yield c

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The one connection that may change something now; all or nothing."""
        with self._engine.connect() as c, _begun(c, write=True):
            yield c

    def close(self) -> None:
        """Give all connections back; SQLite's file then holds everything, so that whoever copies it copies the data."""
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect() as c:
                c.exec_driver_sql("PRAGMA busy_timeout=1000")  # another process that reads on must not keep this one from ending
                c.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self._engine.dispose()

    # The log

    def record(self, c: Connection, kind: str, detail: Mapping[str, Any], now: int, told: Mapping[str, str] | None = None) -> int:
        """Append an entry within the caller's transaction; returns its number.

        The entry holds the kind, the time and a salted digest of the detail, so that members can watch the log without reading one another's business;
        ``told`` is what all of them may read.
        """
        size = self.log_size(c)
        salt, body = os.urandom(16), rfc8785.dumps(dict(detail))
        entry = rfc8785.dumps({**(told or {}), "at": now // 1_000_000, "detail": sha256(salt + body).hexdigest(), "kind": kind})
        c.execute(log.insert().values(number=size, entry=entry, salt=salt, detail=body, member=detail.get("member")))
        made = tree.appended(size, tree.leaf_hash(entry), lambda level, number: self.node(c, level, number))
        c.execute(nodes.insert(), [{"level": level, "number": number, "hash": h} for level, number, h in made])
        return size

    @staticmethod
    def log_size(c: Connection) -> int:
        """Entries in the log."""
        last = c.execute(sa.select(sa.func.max(log.c.number))).scalar()
        return 0 if last is None else int(last) + 1

    @staticmethod
    def node(c: Connection, level: int, number: int) -> bytes:
        """Hash of a complete subtree."""
        found: bytes = c.execute(sa.select(nodes.c.hash).where(nodes.c.level == level, nodes.c.number == number)).scalar_one()
        return found

    def tile(self, c: Connection, level: int, begin: int, width: int) -> bytes:
        """Hashes of neighbouring subtrees, end to end."""
        query = sa.select(nodes.c.hash).where(nodes.c.level == level, nodes.c.number >= begin, nodes.c.number < begin + width)
        return b"".join(r.hash for r in c.execute(query.order_by(nodes.c.number)))

    def entries(self, c: Connection, begin: int, end: int) -> list[Any]:
        """Rows number, entry, salt, detail."""
        query = sa.select(log.c.number, log.c.entry, log.c.salt, log.c.detail).where(log.c.number >= begin, log.c.number < end)
        return list(c.execute(query.order_by(log.c.number)))

    def entries_of(self, c: Connection, member: str, after: int, most: int) -> list[Any]:
        """A member's own entries after a number, as ``entries``."""
        query = sa.select(log.c.number, log.c.entry, log.c.salt, log.c.detail).where(log.c.member == member, log.c.number > after)
        return list(c.execute(query.order_by(log.c.number).limit(most)))

    def checkpoint(self, c: Connection) -> tuple[int, bytes]:
        """(size, root)."""
        size = self.log_size(c)
        return size, tree.root(size, lambda level, number: self.node(c, level, number))

    # Members

    def enrol(
        self,
        c: Connection,
        name: str,
        *,
        owner: str,
        role: str,
        token: str,
        public: Ed25519PublicKey | None,
        now: int,
        until: int | None = None,
    ) -> None:
        """Enrol a member; ``token`` is given out once, only its hash is kept, and it holds ``until`` then or for good."""
        if c.execute(sa.select(members.c.name).where(members.c.name == name)).first():
            raise HubError(f"{name}: enrolled already; use rotate, or revoke")
        c.execute(members.insert().values(name=name, owner=owner, role=role, token=hashed(token), enrolled=now, token_until=until))
        self.record(c, "member-enrolled", {"member": name, "owner": owner, "role": role}, now)
        if public is not None:
            self.add_key(c, name, public, now)

    def add_key(self, c: Connection, name: str, public: Ed25519PublicKey, now: int) -> None:
        """Give a member a signing key; the ones before are retired, but what they signed stays verifiable."""
        ident = key_id(public)
        if c.execute(sa.select(keys.c.id).where(keys.c.id == ident)).first():
            raise HubError(f"key {ident} is enrolled already")
        mine = public.public_bytes_raw().hex()
        try:
            wire.usable(mine)
        except wire.WireError as error:
            raise HubError(str(error)) from None
        if any(told["statement"]["public_key"] == mine for told in self.statements(c, name)):
            raise HubError(f"key {ident} is a person's of {name}; a lab and its persons have keys of their own")
        c.execute(keys.update().where(keys.c.member == name, keys.c.retired.is_(None)).values(retired=now))
        c.execute(keys.insert().values(id=ident, member=name, public=public.public_bytes_raw(), enrolled=now))
        self.record(c, "key-changed", {"member": name, "key": ident}, now)

    def rotate(self, c: Connection, name: str, token: str, now: int, *, until: int | None = None, overlap: int = 0) -> None:
        """Replace a member's token; the one before is taken for ``overlap`` microseconds more."""
        row = c.execute(sa.select(members).where(members.c.name == name, members.c.revoked.is_(None))).first()
        if row is None:
            raise HubError(f"{name}: no such member, or revoked")
        ends = min(now + overlap, row.token_until or now + overlap)
        before = {"old_token": row.token, "old_until": ends} if overlap else {"old_token": None, "old_until": None}
        c.execute(members.update().where(members.c.name == name).values(token=hashed(token), token_until=until, **before))
        self.record(c, "token-changed", {"member": name}, now)

    def revoke(self, c: Connection, name: str, now: int) -> None:
        """Shut a member out; its keys are retired, its objects stay."""
        if (
            c.execute(
                members.update().where(members.c.name == name, members.c.revoked.is_(None)).values(revoked=now, old_token=None)
            ).rowcount
            != 1
        ):
            raise HubError(f"{name}: no such member, or revoked already")
        c.execute(keys.update().where(keys.c.member == name, keys.c.retired.is_(None)).values(retired=now))
        self.record(c, "member-revoked", {"member": name}, now)

    def allow(self, c: Connection, name: str, collection: str, *, can_read: bool, can_write: bool, now: int) -> None:
        """Set a member's rights to a collection."""
        c.execute(rights.delete().where(rights.c.member == name, rights.c.collection == collection))
        c.execute(rights.insert().values(member=name, collection=collection, can_read=can_read, can_write=can_write))
        self.record(c, "rights-changed", {"member": name, "collection": collection, "read": can_read, "write": can_write}, now)

    def member(self, c: Connection, token: str, now: int) -> Member | None:
        """The member whose token this is, where it holds now."""
        mark, t = hashed(token), members.c
        newest = (t.token == mark) & (t.token_until.is_(None) | (t.token_until > now))
        row = c.execute(sa.select(members).where(newest | ((t.old_token == mark) & (t.old_until > now)), t.revoked.is_(None))).first()
        if row is None:
            return None
        mine = c.execute(sa.select(keys.c.id, keys.c.public, keys.c.retired).where(keys.c.member == row.name)).all()
        may = c.execute(sa.select(rights.c.collection, rights.c.can_read, rights.c.can_write).where(rights.c.member == row.name)).all()
        return Member(
            name=row.name,
            owner=row.owner,
            role=row.role,
            keys=tuple(k.id for k in mine if k.retired is None),
            all_keys=frozenset(k.id for k in mine),
            publics={k.id: Ed25519PublicKey.from_public_bytes(k.public) for k in mine if k.retired is None},
            rights={r.collection: (r.can_read, r.can_write) for r in may},
        )

    def all_keys(self, c: Connection) -> list[Any]:
        """Rows id, member, public, enrolled, retired."""
        return list(c.execute(sa.select(keys).order_by(keys.c.enrolled, keys.c.id)))

    # Persons of members

    def state_persons(self, c: Connection, member: str, given: Sequence[Mapping[str, Any]], now: int) -> int:
        """Take statements on a member's persons; those that are there already are passed over.  Returns how many were new.

        Raises:
            WireError: one is not in order.
        """
        have = self.statements(c, member)
        new = [g for g in given if g not in have]
        if have and any(isinstance(g.get("statement"), dict) and not g["statement"].get("by") for g in new):
            raise wire.WireError("only the persons of a member's first statement need no second hand (--by NAME --by-key FILE)")
        everybody = people.fold([*have, *new], self._former(c, member))
        for n, told in enumerate(new, len(have)):
            c.execute(statements.insert().values(member=member, number=n, body=rfc8785.dumps(dict(told))))
            said = told["statement"]
            detail = {
                "member": member,
                "act": said["act"],
                "person": wire.key_id_of(said["public_key"]),
                "roles": said["roles"],
                "by": said["by"],
            }
            self.record(c, "person", detail, now)
        return len(new) if everybody else 0

    def _former(self, c: Connection, member: str) -> dict[str, Ed25519PublicKey]:
        rows = c.execute(sa.select(keys.c.id, keys.c.public).where(keys.c.member == member))
        return {r.id: Ed25519PublicKey.from_public_bytes(r.public) for r in rows}

    @staticmethod
    def statements(c: Connection, member: str) -> list[dict[str, Any]]:
        """What a member has stated on its persons, in order."""
        rows = c.execute(sa.select(statements.c.body).where(statements.c.member == member).order_by(statements.c.number))
        return [json.loads(r.body) for r in rows]

    def persons(self, c: Connection, member: str) -> tuple[dict[str, wire.Person], dict[str, wire.Person]]:
        """Those of a member who are enrolled now, and all whom it ever enrolled, by fingerprint."""
        everybody = people.fold(self.statements(c, member), self._former(c, member))
        return {k: s.person for k, s in everybody.items() if s.removed is None}, {k: s.past for k, s in everybody.items()}

    # Collections and objects

    def collection(self, c: Connection, named: str) -> Any | None:
        """The collection of an id or alias."""
        return c.execute(sa.select(collections).where(sa.or_(collections.c.id == named, collections.c.alias == named))).first()

    def ensure_collection(self, c: Connection, alias: str, title: str, now: int) -> str:
        """The id of a collection, made if it is not there."""
        found = self.collection(c, alias)
        if found is not None:
            return str(found.id)
        ident = str(uuid4())
        c.execute(collections.insert().values(id=ident, alias=alias, title=title, last_added=0))
        hub = Member("", "", "", (), frozenset(), {}, {})
        self.add(c, ident, hub, [constant_incoming(o) for o in constants().values()], now)
        return ident

    def add(self, c: Connection, collection: str, member: Member, incoming: Sequence[Incoming], now: int) -> list[str]:
        """Store objects; returns for each "" or why it was refused."""
        names = sorted({i.id for i in incoming})
        known: dict[str, list[Any]] = {}
        past: dict[str, Any] = {}
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            query = sa.select(
                objects.c.seq, objects.c.id, objects.c.at, objects.c.member, objects.c.digest, objects.c.is_first, objects.c.is_last
            )
            for row in c.execute(query.where(objects.c.collection == collection, objects.c.id.in_(some))):
                known.setdefault(row.id, []).append(row)
            past |= {r.id: r for r in c.execute(sa.select(ids).where(ids.c.collection == collection, ids.c.id.in_(some)))}
        last_added = int(c.execute(sa.select(collections.c.last_added).where(collections.c.id == collection)).scalar_one())
        out: list[str] = []
        rows: list[dict[str, Any]] = []
        new: dict[str, list[dict[str, Any]]] = {}
        for i in incoming:
            digest = sha256(i.body).hexdigest()
            before = known.get(i.id, [])
            same = [b.digest for b in before if b.at == i.at] + [r["digest"] for r in new.get(i.id, []) if r["at"] == i.at]
            if same and same[0] == digest:
                out.append("")
                continue
            was = past.get(i.id)
            if was is not None and was.member != member.name:
                out.append("another member owns this id; only its owner may add versions")
                continue
            if was is not None and was.ended:
                out.append(f"it was {was.ended}, and stays so: its id is not given again")
                continue
            if was is not None and i.at < was.at and not same:
                out.append("a newer version of it was stored before; versions only go forward")
                continue
            if same:
                out.append("this version is stored with another content; give it a newer modified time")
                continue
            last_added = max(now, last_added + 1)
            stored = {
                "collection": collection, "id": i.id, "type": i.type, "version": i.version, "at": i.at, "added": last_added, "member": member.name,
                "about": i.about, "expires": i.expires, "digest": digest, "is_first": True, "is_last": True, "body": i.body,
            }  # fmt: skip
            rows.append(stored)
            new.setdefault(i.id, []).append(stored)
            out.append("")
        for ident, mine in new.items():
            times = [b.at for b in known.get(ident, [])] + [r["at"] for r in mine]
            for r in mine:
                r["is_first"], r["is_last"] = r["at"] == min(times), r["at"] == max(times)
            if known.get(ident):
                this = (objects.c.collection == collection) & (objects.c.id == ident)
                c.execute(objects.update().where(this).values(is_first=objects.c.at == min(times), is_last=objects.c.at == max(times)))
        self._keep_ids(c, collection, member.name, [i for i, why in zip(incoming, out, strict=True) if not why], past, now)
        if rows:
            c.execute(objects.insert(), rows)
            c.execute(collections.update().where(collections.c.id == collection).values(last_added=last_added))
        return out

    @staticmethod
    def _keep_ids(c: Connection, collection: str, member: str, stored: Sequence[Incoming], past: Mapping[str, Any], now: int) -> None:
        """Remember the highest version of each id, and that it was revoked."""
        last: dict[str, Incoming] = {}
        for i in stored:
            if i.id not in last or i.at > last[i.id].at:
                last[i.id] = i
        new, changed = [], []
        for i in last.values():
            row = {"at": i.at, "ended": "revoked" if i.got is not None and i.got.revoked else "", "number": 0}
            if i.id not in past:
                document = i.got.release.document if i.got is not None and i.got.release is not None else None
                named = len(getattr(document, "networks", ()))
                new.append(row | {"collection": collection, "id": i.id, "member": member, "since": now, "networks": named})
            elif i.at > past[i.id].at:
                changed.append(row | {"this": i.id})
        if new:
            c.execute(ids.insert(), new)
        if changed:
            this = (ids.c.collection == collection) & (ids.c.id == sa.bindparam("this"))
            c.execute(ids.update().where(this).values({n: sa.bindparam(n) for n in ("at", "ended", "number")}), changed)

    def stored(self, c: Connection, collection: str, names: Sequence[str]) -> set[tuple[str, str]]:
        """(id, digest) of all versions of these ids that are there."""
        t, found = objects.c, set()
        for start in range(0, len(names), 500):
            query = sa.select(t.id, t.digest).where(t.collection == collection, t.id.in_(names[start : start + 500]))
            found |= {(r.id, r.digest) for r in c.execute(query)}
        return found

    def campaigns(self, c: Connection, collection: str, names: Sequence[str]) -> dict[str, tuple[str, str, bytes]]:
        """Owner, what became of it ("" while it lives) and newest version of campaigns, by id; also of those that are gone, without a body."""
        out: dict[str, tuple[str, str, bytes]] = {}
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            joined = ids.outerjoin(objects, (objects.c.collection == ids.c.collection) & (objects.c.id == ids.c.id) & objects.c.is_last)
            query = sa.select(ids.c.id, ids.c.member, ids.c.ended, objects.c.body).select_from(joined)
            for r in c.execute(query.where(ids.c.collection == collection, ids.c.id.in_(some))):
                out[r.id] = (r.member, r.ended or ("" if r.body is not None else "expired"), r.body or b"")
        return out

    def said(self, c: Connection, collection: str, member: str, since: int) -> tuple[int, int]:
        """Campaigns that a member has released since, deleted ones too, and networks that those of its campaigns name which are not over."""
        mine = (ids.c.collection == collection) & (ids.c.member == member) & ids.c.id.like("campaign--%")
        released = c.execute(sa.select(sa.func.count()).where(mine, ids.c.since > since)).scalar_one()
        named = c.execute(sa.select(sa.func.coalesce(sa.func.sum(ids.c.networks), 0)).where(mine, ids.c.ended == "")).scalar_one()
        return int(released), int(named)

    def page(self, c: Connection, collection: str, w: Wanted, today: str, *, bodies: bool) -> list[Any]:
        """Up to ``limit`` + 1 rows in the order they were added: seq, id, version, added, and body if asked."""
        t = objects.c
        columns = (t.seq, t.id, t.version, t.added, t.body) if bodies else (t.seq, t.id, t.version, t.added)
        query = sa.select(*columns).where(t.collection == collection, t.seq > w.after, t.expires >= today)
        if w.ids:
            query = query.where(t.id.in_(w.ids))
        if w.types:
            query = query.where(t.type.in_(w.types))
        if w.spec and "2.1" not in w.spec:
            query = query.where(sa.false())
        if w.added_after is not None:
            query = query.where(t.added > w.added_after)
        if "all" not in w.versions:
            either = [t.is_last] * ("last" in w.versions) + [t.is_first] * ("first" in w.versions) + ([t.at.in_(w.at)] if w.at else [])
            query = query.where(sa.or_(*either))
        return list(c.execute(query.order_by(t.seq).limit(w.limit + 1)))

    def owner_of(self, c: Connection, collection: str, ident: str, today: str) -> str | None:
        """The member who owns an id; None where there is no such object."""
        t = objects.c
        return c.execute(sa.select(t.member).where(t.collection == collection, t.id == ident, t.expires >= today)).scalar()

    def delete(self, c: Connection, collection: str, ident: str, w: Wanted) -> int:
        """Delete versions of an object; returns how many."""
        t = objects.c
        this = (t.collection == collection) & (t.id == ident)
        gone = this
        if w.spec and "2.1" not in w.spec:
            return 0
        if "all" not in w.versions:
            gone = this & sa.or_(*[t.is_last] * ("last" in w.versions), *[t.is_first] * ("first" in w.versions), t.at.in_(w.at))
        count = c.execute(objects.delete().where(gone)).rowcount
        times = [r.at for r in c.execute(sa.select(t.at).where(this))]
        if times:
            c.execute(objects.update().where(this).values(is_first=t.at == min(times), is_last=t.at == max(times)))
        return count

    def end(self, c: Connection, collection: str, ident: str, member: str, now: int) -> int:
        """Delete an object of a member's own for good, and with a campaign the member's objects that belong to it; leaves a tombstone for each.

        Returns:
            The entry of the log that tells of it; its text names the id, so that readers can look it up.
        """
        t = objects.c
        mine = (t.collection == collection) & (t.member == member) & ((t.id == ident) | (t.about == ident))
        names = sorted({ident, *(r.id for r in c.execute(sa.select(t.id).where(mine)))})
        c.execute(objects.delete().where(mine))
        number = self.record(c, "deletion", {"member": member, "collection": collection, "ids": names}, now, {"id": ident})
        for start in range(0, len(names), 500):
            these = (ids.c.collection == collection) & ids.c.id.in_(names[start : start + 500]) & (ids.c.member == member)
            c.execute(ids.update().where(these).values(ended="deleted", number=number))
        return number

    def ended(self, c: Connection, collections_: Sequence[str], after: int) -> list[Any]:
        """Tombstones: rows id, number of what was deleted with an entry after ``after``, each entry whole."""
        these = ids.c.collection.in_(collections_) & (ids.c.ended == "deleted")
        query = sa.select(ids.c.id, ids.c.number).where(these, ids.c.number > after).order_by(ids.c.number, ids.c.id)
        rows = list(c.execute(query.limit(1000)))
        if len(rows) == 1000:
            rows = [r for r in rows if r.number < rows[-1].number] + list(c.execute(query.where(ids.c.number == rows[-1].number)))
        return rows

    def save_status(self, c: Connection, ident: str, member: str, body: bytes, now: int) -> None:
        """Keep a status for a day."""
        c.execute(status.delete().where(status.c.at < now - DAY))
        c.execute(status.insert().values(id=ident, member=member, at=now, body=body))

    def status(self, c: Connection, ident: str, member: str, now: int) -> bytes | None:
        """A status of the member's own, for a day."""
        found: bytes | None = c.execute(
            sa.select(status.c.body).where(status.c.id == ident, status.c.member == member, status.c.at >= now - DAY)
        ).scalar()
        return found

    def sweep(self, c: Connection, today: str, now: int) -> int:
        """Delete what has expired; returns how many objects."""
        gone = [(r.collection, r.id) for r in c.execute(sa.select(objects.c.collection, objects.c.id).where(objects.c.expires < today))]
        count = c.execute(objects.delete().where(objects.c.expires < today)).rowcount
        if count:
            number = self.record(c, "expired", {"objects": count, "before": today}, now)
            left = sa.exists().where(objects.c.collection == ids.c.collection, objects.c.id == ids.c.id)
            this = (ids.c.collection == sa.bindparam("where")) & (ids.c.id == sa.bindparam("this")) & (ids.c.ended == "") & ~left
            c.execute(
                ids.update().where(this).values(ended="expired", number=number), [{"where": w, "this": i} for w, i in sorted(set(gone))]
            )
        return count

    def cosign(self, c: Connection, size: int, member: str, line: str) -> None:
        """Keep a witness's line on the checkpoint of this size."""
        c.execute(cosignatures.delete().where(cosignatures.c.size == size, cosignatures.c.member == member))
        c.execute(cosignatures.insert().values(size=size, member=member, line=line))

    @staticmethod
    def newest_cosignatures(c: Connection) -> list[tuple[int, str]]:
        """(size, line) of the largest tree that each member cosigned."""
        t = cosignatures.c
        newest = sa.select(t.member, sa.func.max(t.size).label("size")).group_by(t.member).subquery()
        rows = c.execute(
            sa.select(t.size, t.line).join(newest, (newest.c.member == t.member) & (newest.c.size == t.size)).order_by(t.member)
        )
        return [(int(r.size), r.line) for r in rows]

    def witnessed(self, c: Connection) -> tuple[int, list[str]]:
        """The largest size that anybody cosigned, with the lines; (0, []) for none."""
        size = c.execute(sa.select(sa.func.max(cosignatures.c.size))).scalar()
        if size is None:
            return 0, []
        lines = c.execute(sa.select(cosignatures.c.line).where(cosignatures.c.size == size).order_by(cosignatures.c.member))
        return int(size), [r.line for r in lines]


def constant_incoming(o: Mapping[str, Any]) -> Incoming:
    """An object that is the same everywhere, to be stored for good."""
    version = o.get("modified", o["created"])
    at = datetime.fromisoformat(version).timestamp()
    return Incoming(o["id"], o["type"], version, round(at * 1_000_000), "", FOREVER, rfc8785.dumps(dict(o)))
