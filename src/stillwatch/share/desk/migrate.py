"""Desks of before the database, which were files: taken into it in one transaction, the files kept aside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stillwatch.share.desk.book import NAME, Book, DeskError, Outgoing, Record, checked, time_text

#: Where the files of before are kept.
ASIDE: Final = "before-desk-db"
_OLD: Final = ("ledger.jsonl", "state.json", "inbox")


def migrate(folder: Path, book: Book, key: Ed25519PrivateKey, member: str, people: Sequence[Mapping[str, Any]], now: float) -> None:
    """Take a desk's files and the persons of its policy into its database, once; a run that was broken off is gone on with.

    Raises:
        DeskError: the old ledger is not as it was written, or a file cannot be read; nothing was changed then.
    """
    old = [name for name in _OLD if (folder / name).exists()]
    if not old and not people:
        return
    with book.write():
        done = book.recall("migrated")
        if done is None and book.head()[0] == 0:
            _take(folder, book, key, member, people, now)
            done = book.recall("migrated")
    known = {e["detail"]["statement"]["name"] for e in book.entries("person")}
    if strange := [str(p.get("name")) for p in people if p.get("name") not in known]:
        raise DeskError(
            f"{folder / 'policy.toml'}: names {', '.join(strange)}, whom the ledger does not know; persons are enrolled with stillwatch release person, take the lines out"
        )
    for name in old:
        with book.write():  # one process at a time
            _aside(folder, name, done or {})


def _take(folder: Path, book: Book, key: Ed25519PrivateKey, member: str, people: Sequence[Mapping[str, Any]], now: float) -> None:
    raw = (folder / "ledger.jsonl").read_bytes() if (folder / "ledger.jsonl").exists() else b""
    whole, torn = raw[: raw.rfind(b"\n") + 1], raw[raw.rfind(b"\n") + 1 :]  # a power cut left the beginning of a line
    lines = whole.splitlines()
    entries = checked(lines, folder / "ledger.jsonl", key.public_key(), "line")
    try:
        state = dict(json.loads((folder / "state.json").read_bytes())) if (folder / "state.json").exists() else {}
        tags = state.pop("tags", {})
        told = {k: {e["detail"]["release"]: int(e["n"]) for e in entries if e["kind"] == k} for k in ("prepared", "approved")}
        # Of what was broken off before the ledger knew of it nothing is left to do but to prepare it again.
        releases = [_release(p, told) for p in sorted((folder / "outbox").glob("*--*")) if p.name in told["prepared"]]
        records = [_record(p) for p in sorted((folder / "inbox").glob("*/*.json"))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeskError(
            f"{folder}: state.json, outbox or inbox cannot be read ({error}); restore them, then run the same command again"
        ) from None
    with book.write() as db:
        db.executemany(
            "INSERT INTO entry (n, kind, line) VALUES (?, ?, ?)", [(e["n"], e["kind"], x) for e, x in zip(entries, lines, strict=True)]
        )
        book.remember(state)
        book.keep_tags(tags)
        for one in releases:
            book.put(one)
        for r in records:
            book.take_in(r)
        digest = sha256(raw).hexdigest()
        detail = {"entries": len(lines), "ledger": digest, "torn_bytes": len(torn), "releases": len(releases), "records": len(records)}
        book.record("migrated", detail, now, key)
        for p in people:
            n, _ = book.head()
            said = {
                "statement": "stillwatch-person-1",
                "act": "add",
                "name": p["name"],
                "roles": list(p["roles"]),
                "public_key": p["public_key"],
            }
            said |= {"by": "", "member": member, "n": n, "at": time_text(now)}
            book.record("person", {"statement": said, "own": "", "hand": "", "moved": True}, now, key)
        book.remember({"migrated": {"ledger.jsonl": digest}})


def _release(folder: Path, told: Mapping[str, Mapping[str, int]]) -> Outgoing:
    # An approval of before does not travel: what was approved and not sent is approved again.
    stage = "sent" if (folder / "sent.json").exists() else "prepared"
    document, bundle, stays = ((folder / f"{name}.json").read_bytes() for name in ("document", "bundle", "stays"))
    prepared, approved = told["prepared"][folder.name], told["approved"].get(folder.name)
    return Outgoing(folder.name, document, bundle, stays.decode(), prepared, approved, stage)


def _record(path: Path) -> Record:
    r = json.loads(path.read_bytes())
    o = r["object"]
    return Record(path.stem, path.parent.name, str(o["type"]), str(o["modified"]), r["about"], r["state"], r["valid_until"], o)


def _aside(folder: Path, name: str, done: Mapping[str, str]) -> None:
    """Keep an old file aside, if no other process has done so."""
    place = folder / ASIDE
    place.mkdir(mode=0o700, exist_ok=True)
    if (folder / name).exists():
        strange = name == "ledger.jsonl" and sha256((folder / name).read_bytes()).hexdigest() != done.get(name)
        if strange or (place / name).exists():
            raise DeskError(
                f"{folder / name}: written by an earlier Stillwatch after this desk went over to {NAME}; nothing of it counts. Use one version only, and move it away"
            )
        (folder / name).rename(place / name)
