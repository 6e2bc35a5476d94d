"""Releases for the hub's tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import stillwatch.share.release as door
from stillwatch.share.wire import persons
from stillwatch.share.wire import stix as wire
from stillwatch.share.wire.vocabulary import RELEASE
from tests.share.release.test_door import CAMPAIGN

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
TODAY = date(2026, 11, 24)


def campaign_release(member: str, number: int = 0, *, today: date = TODAY, valid_days: int = 90, networks: int = 1) -> door.Release:
    """A campaign of a member; another number gives another one."""
    named = tuple(door.Network("proxy-pool", f"AS{200000 + 100 * number + i}") for i in range(networks))
    seen = replace(CAMPAIGN, first=1.70e9 + 86400 * (number % 300), accounts=10 ** (number // 300 % 8))
    draft = door.Draft(
        seen, grounds=door.grounds_of(seen), networks=named, ledger="lab", removed=door.scrubbed(seen), valid_days=valid_days
    )
    made = door.prepare(draft, door.Policy(member), today)
    assert isinstance(made, door.Release), made
    return made


def answer_release(member: str, of: str, kind: Any, value: str, *, today: date = TODAY) -> door.Release:
    """A sighting, opinion or retraction."""
    days = (date(2026, 11, 1), date(2026, 11, 20))
    made = door.prepare(door.Draft(of, ledger="lab"), door.Policy(member), today, answer=kind, value=value, days=days)
    assert isinstance(made, door.Release), made
    return made


def person_of(key: Ed25519PrivateKey, role: str = "release") -> Ed25519PrivateKey:
    """The key of the person at a lab who has a role."""
    return Ed25519PrivateKey.from_private_bytes(sha256(key.private_bytes_raw() + role.encode()).digest())


def statements_of(key: Ed25519PrivateKey) -> list[dict[str, Any]]:
    """What a lab states on its persons: an approver and counsel."""
    out = []
    for n, role in enumerate(("release", "counsel")):
        own = person_of(key, role)
        stated = persons.state("add", own.public_key().public_bytes_raw().hex(), [role], wire.key_id(key.public_key()), n, own, None)
        out.append(persons.countersign(stated, key))
    return out


def sealed(objects: Iterable[dict[str, Any]], key: Ed25519PrivateKey, people: Ed25519PrivateKey | None = None) -> list[dict[str, Any]]:
    """Objects approved by the lab's persons and signed by the lab; ``people`` is the lab's first key where it has another now."""
    out = []
    for o in objects:
        said = o["extensions"][RELEASE]
        approvals = []
        for r in (door.reopen(said[name]) for name in ("document", "retraction") if name in said):
            roles = ["release"] + ["counsel"] * (getattr(r.document, "counsel", False) or r.document.stamp.legal_basis == "counsel-opinion")
            approvals += [wire.sign_approval(r, role, person_of(people or key, role)) for role in roles]
        out.append(wire.sign(wire.approved(o, approvals) if approvals else o, key))
    return out
