"""Members' persons as others know them: keys and roles, without names.

A statement is signed by the lab's key, by the person's own (who thereby shows that he has it), and by a second hand: a person of the member who is enrolled already.
Those of a member's first statement need no second hand; there is nobody yet.  Statements are counted, so that an old one cannot be sent again, and all of them stay:
who was removed stays in the record as what he was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillwatch.share.wire.stix import Person, WireError, key_id, usable

KIND: Final = "stillwatch-member-person-1"
ROLES: Final = ("auditor", "counsel", "operator", "release")
#: Persons that a member may enrol with its first statements, each without a second hand.
FOUNDERS: Final = 2
_PUBLIC: Final = re.compile("[0-9a-f]{64}")
_SIGNATURE: Final = re.compile("[0-9a-f]{128}")
#: Statements that a member may make; each reader folds all of them.
MOST: Final = 200
#: Roles that only somebody who has one of them can give or take.
_APPROVING: Final = frozenset({"counsel", "release"})
_FIELDS: Final = {"statement", "act", "roles", "public_key", "by", "member", "n"}


@dataclass(frozen=True, slots=True)
class Standing:
    """A person of a member: ``hand`` is the fingerprint of who stands for him, "" for a founder; ``removed`` the number of the statement that removed him;
    ``ever`` the roles that he has had.
    """

    public: Ed25519PublicKey
    roles: frozenset[str]
    hand: str
    removed: int | None = None
    ever: frozenset[str] = frozenset()

    @property
    def person(self) -> Person:
        """As new approvals are checked with."""
        return Person(self.public, self.roles)

    @property
    def past(self) -> Person:
        """As approvals of before are checked with: who had a role then stays what he was."""
        return Person(self.public, self.ever)


def state(
    act: str, public: str, roles: Sequence[str], member: str, n: int, own: Ed25519PrivateKey | None, hand: Ed25519PrivateKey | None
) -> dict[str, Any]:
    """A statement with the signatures of the persons; the lab's is added when it is sent (``countersign``).

    Args:
        act: add, roles or remove.
        public: the person's key, hex.
        member: the fingerprint of the lab's key.
        n: how many statements the member has made before.
        own: the person's key; None for a removal.
        hand: the second hand's; None for a founder.
    """
    by = hand.public_key().public_bytes_raw().hex() if hand else ""
    said: dict[str, Any] = {"statement": KIND, "act": act, "roles": sorted(roles), "public_key": public, "by": by, "member": member, "n": n}
    signed = rfc8785.dumps(said)
    return {"statement": said, "own": own.sign(signed).hex() if own else "", "hand": hand.sign(signed).hex() if hand else ""}


def countersign(stated: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """A statement as it leaves: with the lab's signature."""
    signed = rfc8785.dumps({k: stated[k] for k in ("statement", "own", "hand")})
    return {k: stated[k] for k in ("statement", "own", "hand")} | {"lab": key.sign(signed).hex()}


def fold(statements: Sequence[Mapping[str, Any]], keys: Mapping[str, Ed25519PublicKey]) -> dict[str, Standing]:
    """Everybody whom a member ever enrolled, by fingerprint, out of its statements in order.

    Args:
        keys: all keys that the member ever had, by fingerprint.

    Raises:
        WireError: a statement is not of this form, or not signed by those whom it takes.
    """
    found: dict[str, Standing] = {}
    if len(statements) > MOST:
        raise WireError(f"persons: more than {MOST} statements")
    for n, told in enumerate(statements):
        try:
            _take(found, n, told, keys)
        except InvalidSignature:
            raise WireError(f"statement {n} on persons: a signature does not hold") from None
        except (KeyError, TypeError, ValueError, AttributeError, rfc8785.CanonicalizationError) as error:
            if isinstance(error, WireError):
                raise
            raise WireError(f"statement {n} on persons: not of this form ({type(error).__name__})") from None
    return found


def _take(found: dict[str, Standing], n: int, told: Mapping[str, Any], keys: Mapping[str, Ed25519PublicKey]) -> None:
    said = told["statement"]
    if set(told) != {"statement", "own", "hand", "lab"} or set(said) != _FIELDS or said["statement"] != KIND:
        raise WireError(f"statement {n} on persons: not of this form")
    if said["n"] != n or isinstance(said["n"], bool):
        raise WireError(f"statement {n} on persons: its number is {said['n']}")
    if not _PUBLIC.fullmatch(said["public_key"]) or said["roles"] != sorted(set(said["roles"])) or not set(said["roles"]) <= set(ROLES):
        raise WireError(f"statement {n} on persons: roles or key are none")
    if not (
        _SIGNATURE.fullmatch(told["lab"])
        and all(told[k] == "" or _SIGNATURE.fullmatch(told[k]) for k in ("own", "hand"))
        and (said["by"] == "" or _PUBLIC.fullmatch(said["by"]))
    ):
        raise WireError(f"statement {n} on persons: a signature is 128 hex digits, a key 64")
    keys[said["member"]].verify(bytes.fromhex(told["lab"]), rfc8785.dumps({k: told[k] for k in ("statement", "own", "hand")}))
    public = usable(said["public_key"])
    who, signed, there = key_id(public), rfc8785.dumps(said), found.get(key_id(public))
    if who in keys:
        raise WireError(f"statement {n} on persons: a person's key is not the lab's")
    if said["act"] != "remove":
        public.verify(bytes.fromhex(told["own"]), signed)
    elif told["own"]:
        raise WireError(f"statement {n} on persons: nobody removes himself with a second hand's statement")
    hand = ""
    if said["by"]:
        by = Ed25519PublicKey.from_public_bytes(bytes.fromhex(said["by"]))
        hand = key_id(by)
        standing = found.get(hand)
        if standing is None or standing.removed is not None or hand == who:
            raise WireError(f"statement {n} on persons: the second hand must be another person who is enrolled")
        by.verify(bytes.fromhex(told["hand"]), signed)
        touched = set(said["roles"]) | (set(there.roles) if there is not None else set())
        if touched & _APPROVING and not standing.roles & _APPROVING:
            raise WireError(f"statement {n} on persons: only somebody with the role of release or counsel gives or takes those")
    elif told["hand"] or said["act"] != "add" or len(found) >= FOUNDERS or any(s.hand or s.removed is not None for s in found.values()):
        raise WireError(f"statement {n} on persons: it needs a second hand (--by NAME --by-key FILE)")
    if said["act"] == "add" and there is None and said["roles"]:
        found[who] = Standing(public, frozenset(said["roles"]), hand, None, frozenset(said["roles"]))
    elif said["act"] == "roles" and there is not None and there.removed is None and said["roles"] and set(said["roles"]) != there.roles:
        found[who] = replace(there, roles=frozenset(said["roles"]), hand=hand, ever=there.ever | set(said["roles"]))
    elif said["act"] == "remove" and there is not None and there.removed is None:
        found[who] = replace(there, removed=n)
    else:
        raise WireError(f"statement {n} on persons: {said['act']} of a person who is enrolled, was removed, or was never there")
