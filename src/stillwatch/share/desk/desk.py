"""A lab's desk for sharing: its signing key, its policy, what went out, what came in, and a signed ledger of all of it.

lab.key         Ed25519, 32 bytes          policy.toml     who may approve, legal bases, limits
ledger.jsonl    chained and signed         state.json      the hub, its token, how far we have read
outbox/ID/      one folder a release       inbox/KEY/      partners' records, under the partner's key
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillwatch.share.release import KNOWN_BASES, Person, Policy
from stillwatch.store.files import write_atomically

_POLICY: Final = """\
# A lab's own policy of release.  Counsel keeps it; see docs/sharing.md.
member = "{member}"
minimum_bits = 10.0
default_tlp = "amber"      # clear, green, amber, amber+strict
valid_days = 90            # at most 180
token_cap = 10000
token_budget_a_day = 100000
"""


class DeskError(ValueError):
    """The desk cannot be used as asked; the message names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class Desk:
    """An opened desk."""

    folder: Path
    key: Ed25519PrivateKey
    policy: Policy

    @property
    def member(self) -> str:
        """The fingerprint of the lab's key."""
        return self.policy.member

    def state(self) -> dict[str, Any]:
        """What is remembered between commands."""
        path = self.folder / "state.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def remember(self, **values: object) -> None:
        """Add to the state."""
        body = json.dumps({**self.state(), **values}, indent=1)
        write_private(self.folder / "state.json", body.encode())

    def record(self, kind: str, detail: Mapping[str, Any], now: float) -> str:
        """Append to the ledger; returns the line's digest."""
        path = self.folder / "ledger.jsonl"
        last, n = "", 0
        if path.exists():
            for line in path.read_bytes().splitlines():
                last, n = sha256(line).hexdigest(), n + 1
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        body: dict[str, Any] = {"n": n, "at": at, "kind": kind, "detail": dict(detail), "before": last}
        line = rfc8785.dumps({**body, "signature": self.key.sign(rfc8785.dumps(body)).hex()})
        with path.open("ab") as f:
            f.write(line + b"\n")
            f.flush()
            os.fsync(f.fileno())
        return sha256(line).hexdigest()

    def ledger(self) -> list[dict[str, Any]]:
        """The ledger's entries, each checked against the chain and the lab's key.

        Raises:
            DeskError: a line was changed, removed or added by another hand.
        """
        path, out, last = self.folder / "ledger.jsonl", [], ""
        for n, line in enumerate(path.read_bytes().splitlines() if path.exists() else ()):
            try:
                entry = json.loads(line)
                body = {k: v for k, v in entry.items() if k != "signature"}
                self.key.public_key().verify(bytes.fromhex(entry["signature"]), rfc8785.dumps(body))
                if body["n"] != n or body["before"] != last:
                    raise ValueError("the chain is broken")
            except (InvalidSignature, ValueError, KeyError, TypeError) as error:
                raise DeskError(f"{path}, line {n + 1}: not as it was written ({error or 'its signature does not hold'})") from None
            last = sha256(line).hexdigest()
            out.append(entry)
        return out

    def outgoing(self, ident: str) -> Path:
        """The folder of a release of ours, named by its id or the beginning of it.

        Raises:
            DeskError: none or several.
        """
        home = self.folder / "outbox"
        every = sorted(p for p in home.glob("*") if p.is_dir()) if home.exists() else []
        found = [p for p in every if p.name.startswith(ident) or p.name.partition("--")[2].startswith(ident)]
        if len(found) != 1:
            there = ", ".join(p.name for p in every) or "none"
            raise DeskError(f"{ident}: {'no' if not found else 'more than one'} release of that id in {home} (there: {there})")
        return found[0]

    def file(self, folder: Path, name: str, body: bytes) -> None:
        """Write one file of a release."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(folder / name, body)

    def inbox(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Partners' records."""
        for path in sorted((self.folder / "inbox").glob("*/*.json")):
            yield path, json.loads(path.read_text(encoding="utf-8"))

    def take_in(self, owner: str, ident: str, record: Mapping[str, Any]) -> None:
        """Keep a partner's record under the partner's key."""
        home = self.folder / "inbox" / owner
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(home / f"{ident}.json", json.dumps(dict(record), indent=1).encode())


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
    write_private(folder / "lab.key", key.private_bytes_raw())
    bases = "".join(f'\n[[legal]]\nbasis = "{g.basis}"\nknown_until = {g.known_until}\nsource = "{g.source}"\n' for g in KNOWN_BASES)
    text = _POLICY.format(member=sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]) + bases
    (folder / "policy.toml").write_text(text, encoding="utf-8")
    return open_desk(folder)


def open_desk(folder: Path) -> Desk:
    """Open a desk.

    Raises:
        DeskError: there is none, or its policy cannot be read.
    """
    try:
        key = read_key(folder / "lab.key")
        policy = msgspec.convert(tomllib.loads((folder / "policy.toml").read_text(encoding="utf-8")), Policy)
    except FileNotFoundError as error:
        raise DeskError(f"{error.filename}: not there; make a desk with stillwatch release init {folder}") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise DeskError(f"{folder / 'policy.toml'}: {error}; see docs/sharing.md for the fields") from None
    if sha256(key.public_key().public_bytes_raw()).hexdigest()[:16] != policy.member:
        raise DeskError(f"{folder / 'policy.toml'}: member is not the fingerprint of lab.key")
    return Desk(folder, key, policy)


def add_person(desk: Desk, person: Person) -> None:
    """Add somebody who may approve to the policy."""
    if any(p.name == person.name for p in desk.policy.people):
        raise DeskError(f"{person.name}: in the policy already; take the entry out of policy.toml first")
    roles = ", ".join(f'"{r}"' for r in person.roles)
    with (desk.folder / "policy.toml").open("a", encoding="utf-8") as f:
        f.write(f'\n[[people]]\nname = {json.dumps(person.name)}\nroles = [{roles}]\npublic_key = "{person.public_key}"\n')


def read_key(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 key of 32 bytes.

    Raises:
        DeskError: it is none.
    """
    raw = path.read_bytes()
    if len(raw) != 32:
        raise DeskError(f"{path}: not a key: 32 bytes are needed, {len(raw)} are there")
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
