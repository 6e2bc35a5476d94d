"""Who may do what at a desk: named persons with keys of their own, put into the ledger by two hands.

The first two of a desk found it.  After them each addition, change of roles and removal is signed by somebody else who is enrolled, and an addition or change
by the person's own key too; the roles of release and of counsel only somebody can give who has them.  Somebody who was removed stays in the record as what he was.  A statement names its place in the ledger and its desk, so none
can be used twice or elsewhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillwatch.share.desk.book import DeskError, time_text
from stillwatch.share.desk.desk import Desk, public_of
from stillwatch.share.release import Person
from stillwatch.share.release.policy import Role
from stillwatch.share.wire import persons
from stillwatch.share.wire.stix import WireError, key_id

#: How many persons may be named by one hand: one who approves and one who is the second hand.
FOUNDERS: Final = 2
#: Joiners that some scripts need within words; nothing else that cannot be seen is part of a name.
_JOINERS: Final = "\u200c\u200d"
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Hand:
    """Somebody who acts: a name and the person's own key."""

    name: str
    key: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """The public key in hex."""
        return self.key.public_key().public_bytes_raw().hex()


@dataclass(frozen=True, slots=True)
class Standing:
    """A person and how he came in, changed and went; names of hands are "" for founders."""

    person: Person
    added: str
    added_by: str
    removed: str | None = None
    removed_by: str | None = None
    changes: tuple[str, ...] = ()


def people(desk: Desk, entries: Sequence[Mapping[str, Any]] | None = None) -> list[Standing]:
    """Every person ever, in the order of enrolment.

    Raises:
        DeskError: the ledger is not as it was written, or somebody stands in it without the signatures that it takes.
    """
    return _fold(desk.ledger() if entries is None else entries, {desk.member, *desk.policy.former}, str(desk.folder))


def enrolled(everybody: Iterable[Standing]) -> dict[str, Person]:
    """Who may act now, by name."""
    return {s.person.name: s.person for s in everybody if s.removed is None}


def the_person(desk: Desk, hand: Hand, *roles: Role) -> Person:
    """The enrolled person with one of the roles (any, where none is named) whose key this is.

    Raises:
        DeskError: otherwise.
    """
    everybody = people(desk)
    person = enrolled(everybody).get(hand.name)
    if person is None:
        gone = any(s.person.name == hand.name for s in everybody)
        why = "was removed and may do nothing any more" if gone else "nobody of that name is enrolled"
        raise DeskError(f"{hand.name}: {why}; see stillwatch release person")
    if roles and not set(roles) & set(person.roles):
        raise DeskError(
            f"{hand.name}: has not the role {' or '.join(roles)} but {', '.join(person.roles)}; see stillwatch release person --role"
        )
    if hand.public != person.public_key:
        raise DeskError(f"{hand.name}: this is not the key that the ledger names for this person")
    return person


def two(first: Hand, second: Hand) -> None:
    """Two hands must be two persons with two keys.

    Raises:
        DeskError: they are one.
    """
    if first.name == second.name or first.public == second.public:
        raise DeskError(f"{second.name}: the second hand must be another person, with another key")


def enrol(desk: Desk, hand: Hand, roles: Sequence[Role], now: float, by: Hand | None = None) -> bool:
    """Add a person, or give one new roles; ``by`` is the second hand.  Whether the person founded the desk.

    Raises:
        DeskError: the name is none, or taken; there is no second hand where one is needed.
    """
    _check_name(hand.name)
    with desk.book.write():
        everybody = people(desk)
        there = enrolled(everybody)
        known = there.get(hand.name)
        if (
            known is not None
            and known.public_key == hand.public
            and set(known.roles) == set(roles)
            and hand.public not in _abroad_known(desk)
        ):
            introduce(desk, hand, now, by)
            return False
        if known is not None and (known.public_key != hand.public or set(known.roles) == set(roles)):
            raise DeskError(f"{hand.name}: enrolled already; --remove first, or give other roles with the person's own key")
        for s in everybody:
            same = s.person.name == hand.name
            if not same and _folded(s.person.name) == _folded(hand.name):
                raise DeskError(f"{hand.name}: cannot be told from {s.person.name}, who is in the ledger; give another name")
            if s.person.public_key == hand.public and (not same or known is None):
                raise DeskError(
                    f"{hand.name}: the key is or was {s.person.name}'s; everybody has a key of his own, and who comes back a new one"
                )
        founding = known is None and len(everybody) < FOUNDERS and not _at_hub(desk)
        if by is None and not founding:
            raise DeskError(
                f"{hand.name}: after the first {FOUNDERS} persons, and once a hub knows one, each addition and change needs a second hand: --by NAME --by-key FILE of somebody enrolled"
            )
        _state(desk, "add" if known is None else "roles", Person(hand.name, tuple(roles), hand.public), now, hand, by)
    return founding and by is None


def introduce(desk: Desk, hand: Hand, now: float, by: Hand | None = None) -> None:
    """Have the hub know somebody whom a desk of before enrolled, with his own signature; one who is known is not introduced again.

    Raises:
        DeskError: the hub has been told of others, or of two: it takes a second hand then.
    """
    with desk.book.write():
        if hand.public in _abroad_known(desk):
            return
        person, there = the_person(desk, hand), statements(desk)
        if by is None and (_at_hub(desk) or len(there) >= FOUNDERS or any(s["hand"] for s in there)):
            raise DeskError(
                f"{hand.name}: the hub does not know this person of an earlier version yet: stillwatch release person with the same roles, "
                "--key FILE and a second hand, --by NAME --by-key FILE"
            )
        if by is not None:
            two(hand, by)
            introduce(desk, by, now)
        desk.record("person-stated", {"abroad": _abroad(desk, "add", person, hand, by)}, now)


def remove(desk: Desk, name: str, now: float, by: Hand) -> None:
    """Take a person's rights; what he did stays what it was.

    Raises:
        DeskError: nobody of that name is enrolled, or the hand is the person's own.
    """
    with desk.book.write():
        person = enrolled(people(desk)).get(name)
        if person is None:
            raise DeskError(f"{name}: nobody of that name is enrolled; nothing to remove")
        _state(desk, "remove", person, now, None, by)


def _state(desk: Desk, act: str, person: Person, now: float, own: Hand | None, by: Hand | None) -> None:
    if by is not None:
        the_person(desk, by)
        if by.name == person.name or by.public == person.public_key:
            raise DeskError(f"{by.name}: the second hand must be another person, with another key")
        there = enrolled(people(desk))
        if act != "remove" and (beyond := _beyond(there[by.name], person, there.values())):
            raise DeskError(f"{by.name}: has not the role {beyond} and so cannot give it; the second hand must be somebody who has")
        introduce(desk, by, now)  # whoever is told of his hand must know him
    n, _ = desk.book.head()
    said: dict[str, Any] = {
        "statement": "stillwatch-person-1",
        "act": act,
        "name": person.name,
        "roles": list(person.roles),
        "public_key": person.public_key,
        "by": by.name if by else "",
        "member": desk.member,
        "n": n,
        "at": time_text(now),
    }
    signed = rfc8785.dumps(said)
    detail: dict[str, Any] = {
        "statement": said,
        "own": own.key.sign(signed).hex() if own else "",
        "hand": by.key.sign(signed).hex() if by else "",
    }
    known = person.public_key in _abroad_known(desk)
    if act != "remove" or known:  # else nobody ever knew of him
        detail["abroad"] = _abroad(desk, act if known else "add", person, own, by)
    desk.record("person", detail, now)


def _at_hub(desk: Desk) -> bool:
    """Whether a hub has been told of somebody; from then on it takes nobody without a second hand."""
    return bool((desk.book.recall("persons_told") or ("", 0))[1])


def _abroad_known(desk: Desk) -> set[str]:
    return {s["statement"]["public_key"] for s in statements(desk)}


def _abroad(desk: Desk, act: str, person: Person, own: Hand | None, by: Hand | None) -> dict[str, Any]:
    """What the hub and partners are told of it: key and roles, no name."""
    made = persons.state(
        act,
        person.public_key,
        [] if act == "remove" else person.roles,
        desk.member,
        len(statements(desk)),
        own.key if own else None,
        by.key if by else None,
    )
    signed = persons.countersign(made, desk.key)
    before = [public_of(e["detail"]["statement"]["old"]) for e in desk.book.entries("key-changed")]
    try:
        persons.fold([*statements(desk), signed], {key_id(k): k for k in (*before, desk.key.public_key())})
    except WireError as error:  # the hub and every reader would refuse it, and whatever comes after it
        raise DeskError(f"{person.name}: {error}") from None
    return signed


def statements(desk: Desk) -> list[dict[str, Any]]:
    """What the hub and partners are told of the desk's persons, in order."""
    entries = sorted((*desk.book.entries("person"), *desk.book.entries("person-stated")), key=lambda e: e["n"])
    return [e["detail"]["abroad"] for e in entries if "abroad" in e["detail"]]


def _fold(entries: Sequence[Mapping[str, Any]], members: Collection[str], where: str) -> list[Standing]:
    found: dict[tuple[str, int], Standing] = {}  # a name that comes again after its removal is another standing
    active: dict[str, tuple[str, int]] = {}
    moving = False  # persons that an earlier version kept in policy.toml stand right behind the entry that says so, before any other
    for e in entries:
        if e["kind"] == "key-changed":
            _changed_by(e, {name: found[at].person for name, at in active.items()}, where)
        if e["kind"] != "person":
            moving = e["kind"] == "migrated" and not found
            continue
        d, said = e["detail"], e["detail"]["statement"]
        moving = moving and bool(d.get("moved"))
        try:
            signed, name = rfc8785.dumps(said), said["name"]
            person = msgspec.convert({k: said[k] for k in ("name", "roles", "public_key")}, Person)
            if said["n"] != e["n"] or said["member"] not in members:
                raise ValueError("its statement belongs elsewhere")
            if not moving:  # those have no signatures of their own
                if said["act"] != "remove":
                    _verify(person.public_key, d["own"], signed)
                if said["act"] != "add" or said["by"] or len(found) >= FOUNDERS:
                    hand = found[active[said["by"]]].person
                    if hand.name == name or hand.public_key == person.public_key:
                        raise ValueError("one hand cannot be two")
                    if said["act"] != "remove" and (beyond := _beyond(hand, person, [found[at].person for at in active.values()])):
                        raise ValueError(f"{hand.name} cannot give the role {beyond}")
                    _verify(hand.public_key, d["hand"], signed)
            if said["act"] == "add":
                if name in active:
                    raise ValueError("enrolled twice")
                active[name] = (name, e["n"])
                found[active[name]] = Standing(person, e["at"], said["by"])
            else:
                at = active[name]
                if found[at].person.public_key != person.public_key:
                    raise ValueError("another key")
                if said["act"] == "remove":
                    found[at] = replace(found[at], removed=e["at"], removed_by=said["by"])
                    del active[name]
                elif said["act"] == "roles":
                    change = f"{e['at']} by {said['by']}: {', '.join(found[at].person.roles)} -> {', '.join(person.roles)}"
                    found[at] = replace(found[at], person=person, changes=(*found[at].changes, change))
                else:
                    raise ValueError("no act of this version")
        except (InvalidSignature, ValueError, KeyError, TypeError) as error:
            raise DeskError(
                f"{where}, ledger entry {e['n']}: a person without the signatures that it takes ({error or 'one does not hold'})"
            ) from None
    return list(found.values())


def _beyond(hand: Person, person: Person, there: Iterable[Person]) -> str:
    """A role that a hand gives without having it, "" for none: who releases and who is counsel is not for an operator to say.

    What somebody had before is not given, and a role that nobody has any more anybody may give: it stands in the ledger with his name.
    """
    every = list(there)
    had = {r for p in every if p.name == person.name for r in p.roles}
    missing = [r for r in person.roles if r in ("release", "counsel") and r not in (*hand.roles, *had) and any(r in p.roles for p in every)]
    return missing[0] if missing else ""


def _changed_by(entry: Mapping[str, Any], there: Mapping[str, Person], where: str) -> None:
    said = entry["detail"]["statement"]
    try:
        _verify(there[said["by"]].public_key, entry["detail"]["hand"], rfc8785.dumps(said))
    except (InvalidSignature, ValueError, KeyError, TypeError):
        raise DeskError(f"{where}, ledger entry {entry['n']}: the lab's key was changed without a person who was enrolled") from None


def _verify(public: str, signature: str, signed: bytes) -> None:
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), signed)


def _folded(name: str) -> str:
    """Names that people cannot tell apart by case, width or joiners are one."""
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c not in _JOINERS)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 80 or name != name.strip() or any(unicodedata.category(c) in _UNSEEN and c not in _JOINERS for c in name):
        raise DeskError(
            f"{name!a}: not a name: 1 to 80 characters of any script, in one line, with no blank at either end and nothing that cannot be seen"
        )
