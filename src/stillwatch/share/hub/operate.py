"""What a hub's operator does beside serving: look, check, back up, put back."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.share.hub.database import DAY, HEAD, Database, HubError, open_database
from stillwatch.share.hub.tables import collections, cosignatures, keys, log, members, nodes, objects, rights, settings
from stillwatch.share.net.access import hashed
from stillwatch.share.tlog import log as tree

#: Days before a token's end that status begins to warn.
SOON: Final = 30
_STEP: Final = 1000
_ENDLESS: Final = "without end"
#: Names the settings that tell where in the log the statements are.
_MARK: Final = "restored-"


# Members


def used(c: sa.Connection, days: Mapping[str, str]) -> None:
    """Note the day that each member last came."""
    for name, day in days.items():
        c.execute(members.update().where(members.c.name == name).values(used=day))


def reinstate(db: Database, c: sa.Connection, name: str, token: str, now: int, until: int | None = None) -> None:
    """Take a revoked member back, with a new token and the keys that it had when it was shut out.

    Raises:
        HubError: it is not revoked.
    """
    row = c.execute(sa.select(members.c.revoked).where(members.c.name == name)).first()
    if row is None or row.revoked is None:
        raise HubError(f"{name}: {'no such member; enrol it' if row is None else 'not revoked'}")
    c.execute(members.update().where(members.c.name == name).values(revoked=None, token=hashed(token), token_until=until))
    c.execute(keys.update().where(keys.c.member == name, keys.c.retired == row.revoked).values(retired=None))
    db.record(c, "member-reinstated", {"member": name}, now)


def list_members(c: sa.Connection, now: int) -> list[dict[str, Any]]:
    """Everybody who was ever enrolled, with what he may do and how long his token holds."""
    may: dict[str, dict[str, str]] = {}
    query = sa.select(rights.c.member, collections.c.alias, rights.c.can_read, rights.c.can_write)
    for r in c.execute(query.join(collections, collections.c.id == rights.c.collection).order_by(collections.c.alias)):
        may.setdefault(r.member, {})[r.alias] = "".join("r" * r.can_read + "w" * r.can_write)
    has = {r.member: r.id for r in c.execute(sa.select(keys.c.member, keys.c.id).where(keys.c.retired.is_(None)))}
    return [
        {
            "name": m.name,
            "owner": m.owner,
            "role": m.role,
            "key": has.get(m.name),
            "rights": may.get(m.name, {}),
            "enrolled": day_of(m.enrolled),
            "revoked": day_of(m.revoked),
            "token_until": day_of(m.token_until),
            "state": _token_state(m, now),
            "last_used": m.used,
        }
        for m in c.execute(sa.select(members).order_by(members.c.name))
    ]


def _token_state(m: Any, now: int) -> str:
    if m.revoked is not None:
        return "revoked"
    if m.token_until is None:
        return _ENDLESS
    if m.token_until <= now:
        return "expired"
    return "expires soon" if m.token_until <= now + SOON * DAY else "valid"


def day_of(at: int | None) -> str | None:
    """The day of a time in microseconds."""
    return None if at is None else datetime.fromtimestamp(at // 1_000_000, UTC).date().isoformat()


def status(db: Database, c: sa.Connection, now: int) -> dict[str, Any]:
    """The hub in figures, and ``warnings`` where somebody has to do something."""
    size, head = db.checkpoint(c)
    everybody = list_members(c, now)
    witnessed, lines = db.witnessed(c)
    warnings = [
        f"{m['name']}: its token {'ended on' if m['state'] == 'expired' else 'ends on'} {m['token_until']}; hub rotate gives a new one"
        for m in everybody
        if m["state"] in ("expired", "expires soon")
    ]
    warnings += [f"{m['name']}: its token has no end; hub rotate gives one that has" for m in everybody if m["state"] == _ENDLESS]
    if size and not witnessed:
        warnings.append("no member has cosigned the log; ask them to run hub watch")
    return {
        "database": c.dialect.name,
        "tables": HEAD,
        "log_entries": size,
        "log_root": head.hex(),
        "cosigned": witnessed,
        "cosignatures": len(lines),
        "members": sum(m["revoked"] is None for m in everybody),
        "revoked": sum(m["revoked"] is not None for m in everybody),
        "objects": c.execute(sa.select(sa.func.count()).select_from(objects)).scalar_one(),
        "warnings": warnings,
    }


# Checking


def check(db: Database, c: sa.Connection, note: tree.Checkpoint | None = None) -> Iterator[str]:
    """Everything that is not as it must be, a line each.

    Args:
        note: a checkpoint, signature checked, that the log must begin with.
    """
    try:
        if c.dialect.name == "sqlite":
            for (line,) in c.exec_driver_sql("PRAGMA integrity_check"):
                if line != "ok":
                    yield f"SQLite: {line}"
        yield from _check_log(db, c, note)
        yield from _check_objects(c)
    except (sa.exc.DatabaseError, TypeError) as error:  # SQLite gives text where bytes are kept if somebody wrote it there
        yield f"the database cannot be read: {getattr(error, 'orig', None) or error}"


def _check_log(db: Database, c: sa.Connection, note: tree.Checkpoint | None) -> Iterator[str]:
    """The tree is made anew from the entries and compared, hash by hash, with the one that is kept."""
    size = db.log_size(c)
    made: dict[tuple[int, int], bytes] = {}

    def get(level: int, number: int) -> bytes:
        return made[level, number]

    if note is not None and note.size > size:
        yield f"log: {size} entries, but its checkpoint signed {note.size}"
    for begin in range(0, size, _STEP):
        end = min(begin + _STEP, size)
        rows = {r.number: r for r in db.entries(c, begin, end)}
        kept: dict[tuple[int, int], bytes] = {}
        for level in range(end.bit_length()):
            query = sa.select(nodes.c.number, nodes.c.hash)
            these = (nodes.c.level == level) & (nodes.c.number >= begin >> level) & (nodes.c.number < end >> level)
            kept |= {(level, r.number): r.hash for r in c.execute(query.where(these))}
        for number in range(begin, end):
            row = rows.get(number)
            if row is None:
                yield f"log: entry {number} is missing; the tree cannot be made beyond it"
                return
            yield from _check_entry(row)
            for level, at, h in tree.appended(number, tree.leaf_hash(row.entry), get):
                made[level, at] = h
                if kept.get((level, at)) != h:
                    yield f"log: node {level}/{at} is not the hash of what is below it"
                if level:  # what is below will not be asked for again
                    made.pop((level - 1, 2 * at), None)
                    made.pop((level - 1, 2 * at + 1), None)
            if note is not None and number + 1 == note.size and tree.root(number + 1, get) != note.root:
                yield f"log: its first {note.size} entries are not those that the checkpoint signed"
    expected = sum(size >> level for level in range(size.bit_length()))
    count = c.execute(sa.select(sa.func.count()).select_from(nodes)).scalar_one()
    if count != expected:
        yield f"log: {count} nodes, {expected} are needed"
    beyond = c.execute(sa.select(sa.func.count()).select_from(cosignatures).where(cosignatures.c.size > size)).scalar_one()
    if beyond:
        yield f"log: {beyond} cosignatures of sizes that it does not have"


def _check_entry(row: Any) -> Iterator[str]:
    try:
        entry = json.loads(row.entry)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or not {"at", "detail", "kind"} <= set(entry):
        yield f"log: entry {row.number} is none"
    elif sha256(row.salt + row.detail).hexdigest() != entry["detail"]:
        yield f"log: the detail of entry {row.number} is not what was logged"


def _check_objects(c: sa.Connection) -> Iterator[str]:
    t = objects.c
    last = 0
    while rows := list(c.execute(sa.select(t.seq, t.id, t.version, t.digest, t.body).where(t.seq > last).order_by(t.seq).limit(_STEP))):
        for r in rows:
            if sha256(r.body).hexdigest() != r.digest:
                yield f"object {r.id}, version {r.version}: its bytes are not those that were stored"
        last = rows[-1].seq
    flags = sa.select(
        t.id,
        sa.func.count(sa.case((t.is_first, 1))).label("firsts"),
        sa.func.count(sa.case((t.is_last, 1))).label("lasts"),
        sa.func.min(t.at).label("begin"),
        sa.func.max(t.at).label("end"),
        sa.func.min(sa.case((t.is_first, t.at))).label("first"),
        sa.func.max(sa.case((t.is_last, t.at))).label("last"),
    ).group_by(t.collection, t.id)
    some = flags.subquery()
    s = some.c
    wrong = (s.firsts != 1) | (s.lasts != 1) | (s.first != s.begin) | (s.last != s.end)
    for r in c.execute(sa.select(s.id).where(wrong).order_by(s.id)):
        yield f"object {r.id}: its first or last version is marked wrongly"
    newest = sa.select(t.collection, sa.func.max(t.added).label("added")).group_by(t.collection).subquery()
    query = sa.select(collections.c.alias).join(newest, newest.c.collection == collections.c.id)
    for r in c.execute(query.where(newest.c.added > collections.c.last_added)):
        yield f"collection {r.alias}: holds objects that are newer than it knows"


# Backups


def backup(url: str, target: Path, key: Ed25519PrivateKey, origin: str) -> tree.Checkpoint:
    """Copy an SQLite hub as it is at one moment, also while it is served, with a signed checkpoint beside it in ``TARGET.checkpoint``.

    Raises:
        HubError: it is no SQLite file, or there is something at ``target``.
    """
    source = _file_of(url, "back it up with pg_dump --format=custom, which gives one moment's state while the hub is served")
    if not source.exists():
        raise HubError(f"{source}: no such database")
    if target.exists():
        raise HubError(f"{target}: is there already; name another file, for the last backup may be the only good one")
    beside = target.with_name(target.name + ".new")
    beside.unlink(missing_ok=True)
    beside.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)) as there, closing(sqlite3.connect(beside)) as here:
            there.backup(here)
            here.execute("PRAGMA journal_mode=DELETE")  # one file, whole by itself
    except sqlite3.Error as error:
        beside.unlink(missing_ok=True)
        raise HubError(f"{source}: cannot be copied: {error}") from None
    note = _signed_head(str(beside), key, origin)
    _sync(beside)
    _write(target.with_name(target.name + ".checkpoint"), note)
    beside.replace(target)
    return tree.read_checkpoint(note)


def restore(source: Path | None, url: str, key: Ed25519PrivateKey, origin: str, now: int) -> tuple[tree.Checkpoint, Path | None]:
    """Put a backup in place of a hub's database, and say so in the log with the hub's signature.

    Args:
        source: the backup; None where the database has been put back by other means, as pg_restore, and only the statement is wanting.
        now: microseconds.

    Returns:
        (the head that it went back to, where the database lies that was there before).

    Raises:
        HubError: the backup does not check, or the hub is being served.
    """
    if source is None:
        db = Database(open_database(url))
        try:
            return _state(db, key, origin, None, now), None
        finally:
            db.close()
    place = _file_of(url, "put the dump back with pg_restore, then run this command without a backup")
    note_file = source.with_name(source.name + ".checkpoint")
    try:
        note = tree.verify_note(note_file.read_text(encoding="utf-8"), origin, key.public_key())
    except (OSError, UnicodeDecodeError, tree.LogError) as error:
        raise HubError(f"{note_file}: not a checkpoint signed by this hub's key for {origin}: {error}") from None
    made = place.with_name(place.name + ".new")
    made.unlink(missing_ok=True)
    try:
        made.touch(mode=0o600)
        made.write_bytes(source.read_bytes())
        lost = _lost(place, key, origin)
        db = Database(open_database(str(made)))
        try:
            head = _state(db, key, origin, lost, now, note)
        finally:
            db.close()
        _sync(made)
    except OSError as error:
        raise HubError(f"{source}: {error.strerror or error}") from None
    except HubError:
        made.unlink(missing_ok=True)
        raise
    before = None
    if place.exists():
        before = place.with_name(f"{place.name}.before-{datetime.fromtimestamp(now // 1_000_000, UTC):%Y%m%dT%H%M%SZ}")
        os.link(place, before)
        for tail in ("-wal", "-shm"):  # would be taken for the new file's
            if (old := place.with_name(place.name + tail)).exists():
                old.replace(before.with_name(before.name + tail))
    made.replace(place)
    return head, before


def restorations(c: sa.Connection) -> list[dict[str, Any]]:
    """The statements of all restorations in full, as the log has them."""
    at = [int(r.name.removeprefix(_MARK)) for r in c.execute(sa.select(settings.c.name).where(settings.c.name.startswith(_MARK)))]
    rows = c.execute(sa.select(log).where(log.c.number.in_(at)).order_by(log.c.number))
    return [{"number": r.number, "entry": json.loads(r.entry), "salt": r.salt.hex(), "detail": json.loads(r.detail)} for r in rows]


def _state(
    db: Database, key: Ed25519PrivateKey, origin: str, lost: str | None, now: int, note: tree.Checkpoint | None = None
) -> tree.Checkpoint:
    with db.write() as c:
        faults = list(check(db, c, note))
        if faults:
            raise HubError(f"the backup does not check: {faults[0]}" + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""))
        size, head = db.checkpoint(c)
        said: dict[str, Any] = {
            "format": tree.RESTORED,
            "origin": origin,
            "at": now // 1_000_000,
            "size": size,
            "root": head.hex(),
            "lost": lost,
        }
        said["signature"] = key.sign(tree.restored_bytes(said)).hex()
        number = db.record(c, "restored", said, now)
        c.execute(settings.insert().values(name=f"{_MARK}{number}", value=b""))
    return tree.read_checkpoint(tree.checkpoint_text(origin, size, head) + "\n")


def _lost(place: Path, key: Ed25519PrivateKey, origin: str) -> str | None:
    """The head of the database that is given up, signed; None where it cannot be read any more."""
    if not place.exists():
        return None
    try:
        with closing(sqlite3.connect(place, timeout=1)) as c:
            # SQLite leaves its write-ahead log only where nobody else has the file open.
            c.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise HubError(f"{place}: in use; stop the hub first") from None
        return None
    except sqlite3.Error:
        return None
    try:
        return _signed_head(str(place), key, origin)
    except (HubError, sa.exc.SQLAlchemyError):
        return None


def _signed_head(url: str, key: Ed25519PrivateKey, origin: str) -> str:
    db = Database(open_database(url))
    try:
        with db.read() as c:
            text = tree.checkpoint_text(origin, *db.checkpoint(c))
    finally:
        db.close()
    return text + "\n" + tree.sign_note(text, origin, key)


def _file_of(url: str, otherwise: str) -> Path:
    if "://" in url and not url.startswith("sqlite:///"):
        raise HubError(f"this hub is on PostgreSQL: {otherwise}")
    return Path(url.removeprefix("sqlite:///"))


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    _sync(path)


def _sync(path: Path) -> None:
    with path.open("rb+") as f:
        os.fsync(f.fileno())
