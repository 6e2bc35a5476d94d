"""A lab's desk for sharing: its signing key, its policy, and the database of what went out, what came in and who decided what.

lab.key         Ed25519, 32 bytes          policy.toml     legal bases, limits; counsel's file, never written again
desk.db         what counts (``book``)     outbox/ID/      copies of releases for people to read
"""

from __future__ import annotations

import os
import stat
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillwatch.share.desk.book import KIND, NAME, Book, DeskError, Outgoing, Record, checked
from stillwatch.share.desk.migrate import migrate
from stillwatch.share.release import KNOWN_BASES, Policy
from stillwatch.share.wire.stix import key_id
from stillwatch.store.files import flush, write_atomically
from stillwatch.store.sqlite import Database, DatabaseError

__all__ = [
    "Desk",
    "DeskError",
    "Outgoing",
    "Record",
    "make_desk",
    "open_desk",
    "public_of",
    "read_key",
    "settle",
    "write_private",
]

_POLICY: Final = """\
# A lab's own policy of release.  Counsel keeps it; see docs/sharing.md.
member = "{member}"
minimum_bits = 10.0
default_tlp = "amber"      # clear, green, amber, amber+strict
valid_days = 90            # at most 180
token_cap = 10000
token_budget_a_day = 100000
"""
#: The next key of the lab, from before the ledger names it until it is in the place of the old one.
NEXT_KEY: Final = "lab.key.next"


@dataclass(frozen=True, slots=True)
class Desk:
    """An opened desk."""

    folder: Path
    key: Ed25519PrivateKey
    policy: Policy
    book: Book

    @property
    def member(self) -> str:
        """The fingerprint of the lab's key."""
        return self.policy.member

    def state(self) -> dict[str, Any]:
        """What is remembered between commands."""
        return self.book.state()

    def remember(self, **values: object) -> None:
        """Add to the state."""
        self.book.remember(values)

    def record(self, kind: str, detail: Mapping[str, Any], now: float) -> int:
        """Append to the ledger; returns the entry's number.

        Raises:
            DeskError: the lab's key was changed since the desk was opened.
        """
        with self.book.write():
            current = _newest_key(self.book)
            if current is not None and current != self.key.public_key().public_bytes_raw().hex():
                raise DeskError(f"{self.folder}: the lab's key was changed meanwhile; run the command again")
            return self.book.record(kind, detail, now, self.key)

    def ledger(self) -> list[dict[str, Any]]:
        """The ledger's entries, each checked against the chain and the key that was in force.

        Raises:
            DeskError: an entry was changed, removed or added by another hand.
        """
        return checked(self.book.lines(), self.folder / NAME, self.key.public_key())

    def outgoing(self, ident: str) -> Outgoing:
        """A release of ours, named by its id or the beginning of it.

        Raises:
            DeskError: none or several.
        """
        every = self.book.releases()
        found = [r for r in every if r.id.startswith(ident) or r.id.partition("--")[2].startswith(ident)]
        if len(found) != 1:
            there = ", ".join(sorted(r.id for r in every)) or "none"
            raise DeskError(f"{ident}: {'no' if not found else 'more than one'} release of that id at {self.folder} (there: {there})")
        return found[0]

    def inbox(self, kind: str | None = None) -> list[Record]:
        """Partners' records."""
        return self.book.inbox(kind)

    def copies(self, ident: str) -> Path:
        """Where copies of a release lie for people to read."""
        return self.folder / "outbox" / ident

    def copy(self, ident: str, name: str, body: bytes) -> None:
        """Write a copy of one part of a release; the database is what counts."""
        self.copies(ident).mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.copies(ident) / name, body)


def write_private(path: Path, body: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""

    def write(temporary: Path) -> None:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as f:
            f.write(body)

    write_atomically(path, write)


def make_desk(folder: Path) -> Desk:
    """Make a desk with a new key and the default policy.

    Raises:
        DeskError: there is one already.
    """
    if (folder / "lab.key").exists():
        raise DeskError(f"{folder}: there is a desk already; its key is the lab's name in the exchange and is not made anew")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    key = Ed25519PrivateKey.generate()
    bases = "".join(f'\n[[legal]]\nbasis = "{g.basis}"\nknown_until = {g.known_until}\nsource = "{g.source}"\n' for g in KNOWN_BASES)
    text = _POLICY.format(member=key_id(key.public_key())) + bases
    write_private(folder / "policy.toml", text.encode())
    write_private(folder / "lab.key", key.private_bytes_raw())  # last: with it there is a desk
    return open_desk(folder)


def open_desk(folder: Path) -> Desk:
    """Open a desk; one of an earlier version is taken into its database.

    Raises:
        DeskError: there is none, its policy cannot be read, its key can be read by others, or its database is damaged.
    """
    place = folder / "policy.toml"
    try:
        key = read_key(folder / "lab.key")
        told = tomllib.loads(place.read_text(encoding="utf-8"))
        people = told.pop("people", [])  # of an earlier version; the ledger is what counts
        if "former" in told:
            raise DeskError(f"{place}: former keys stand in the ledger; take the line out")
        policy = msgspec.convert(told, Policy)
        book = Book(Database(folder / NAME, KIND))
    except FileNotFoundError as error:
        raise DeskError(f"{error.filename}: not there; make a desk with stillwatch release init {folder}") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise DeskError(f"{place}: {error}; see docs/sharing.md for the fields") from None
    except DatabaseError as error:
        raise DeskError(str(error)) from None
    key = settle(folder, book, key)
    member = key_id(key.public_key())
    former = [key_id(public_of(e["detail"]["statement"]["old"])) for e in book.entries("key-changed")]
    if policy.member not in (member, *former):
        raise DeskError(f"{place}: member is not the fingerprint of lab.key")
    migrate(folder, book, key, member, _people(place, people), time.time())
    return Desk(folder, key, msgspec.structs.replace(policy, member=member, former=tuple(former)), book)


def _people(place: Path, told: Any) -> list[dict[str, Any]]:
    if not isinstance(told, list) or not all(isinstance(p, dict) and {"name", "roles", "public_key"} <= set(p) for p in told):
        raise DeskError(f"{place}: people: each has name, roles and public_key")
    return told


def settle(folder: Path, book: Book, key: Ed25519PrivateKey) -> Ed25519PrivateKey:
    """The key in force: a change of key that was broken off is finished if the ledger names the new one, else undone.

    Raises:
        DeskError: the ledger names a key that is not here.
    """
    following = folder / NEXT_KEY
    newest = _newest_key(book)
    if not following.exists() and newest in (None, key.public_key().public_bytes_raw().hex()):
        return key
    with book.write():  # nobody is just changing it
        newest = _newest_key(book)
        key = read_key(folder / "lab.key")
        if newest not in (None, key.public_key().public_bytes_raw().hex()) and following.exists():
            coming = read_key(following)
            if coming.public_key().public_bytes_raw().hex() == newest:
                following.replace(folder / "lab.key")
                flush(folder)
                return coming
        if newest not in (None, key.public_key().public_bytes_raw().hex()):
            raise DeskError(f"{folder / 'lab.key'}: not the key that the ledger names; put back the one that belongs to {folder / NAME}")
        following.unlink(missing_ok=True)
        return key


def _newest_key(book: Book) -> str | None:
    entries = book.entries("key-changed")
    return str(entries[-1]["detail"]["statement"]["new"]) if entries else None


def read_key(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 key of 32 bytes that nobody else can read.

    Raises:
        DeskError: it is none, or others can read it.
    """
    with path.open("rb") as file:
        mode, raw = os.fstat(file.fileno()).st_mode, file.read(64)
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise DeskError(f"{path}: the key can be read by other users; run: chmod 600 {path}")
    if len(raw) != 32:
        raise DeskError(f"{path}: not a key: 32 bytes are needed, {len(raw)}{' or more' if len(raw) == 64 else ''} are there")
    return Ed25519PrivateKey.from_private_bytes(raw)


def public_of(text: str) -> Ed25519PublicKey:
    """A public key from 64 hex digits.

    Raises:
        DeskError: it is none.
    """
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except ValueError:
        raise DeskError(f"{text[:80]}: not a public key of 64 hex digits") from None
