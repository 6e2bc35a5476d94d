"""Releases <-> STIX 2.1 objects.

Every object that travels is a function of a release's document and a few values that can be read off the object itself.  A reader makes the object anew
from those values and compares: what differs in any byte of its canonical form is refused.  So the STIX form is as closed as the document is.

Signatures: Ed25519 over the RFC 8785 form of the object without the signature's own extension; the producer's signature travels with the object.
Approvals: named persons of the producer sign the digest of each document that an object carries; the producer's signature covers theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Final
from uuid import uuid5

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stillwatch.share.release import (
    Campaign,
    DocumentError,
    Opinion,
    Release,
    Retraction,
    Sighting,
    check_network,
    check_parts,
    reopen,
    to_plain,
)
from stillwatch.share.release.document import NAMESPACE
from stillwatch.share.wire.vocabulary import (
    ALWAYS,
    APPROVAL,
    ATLAS,
    EPOCH,
    INFRASTRUCTURE,
    PROJECT,
    RELEASE,
    SIGNATURE,
    TLP,
    TO_ATLAS,
    Object,
    constants,
)

#: Creation time of all sightings and opinions: a member has one of each for a campaign, and what is said later is a version of it.
ANSWERED: Final = "2026-01-01T00:00:00.000Z"
_KEY: Final = re.compile("[0-9a-f]{16}")
_HEX: Final = re.compile("[0-9a-f]{128}")


class WireError(ValueError):
    """A STIX object that is not one of ours to the last byte, or not signed by whom it says; the message names the field."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's signature over a document: ``role`` is release (the approver's) or counsel (what rule R01 or R04 leaves to counsel)."""

    digest: str  # SHA-256 of the document's canonical bytes, hex
    role: str
    key: str  # the person's fingerprint
    value: str  # Ed25519, hex


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom a member enrolled: what his key may sign."""

    public: Ed25519PublicKey
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Received:
    """An object that was examined: ``about`` is the campaign it belongs to, ``release`` the document where it carries one, ``retraction`` the one that takes it
    back, ``approvals`` what persons signed of them."""

    id: str
    type: str
    version: str
    about: str
    by: str
    tlp: str
    valid_until: str
    revoked: bool
    release: Release | None
    retraction: Release | None = None
    approvals: tuple[Approval, ...] = ()
    digest: str = ""  # of what was made anew, without approvals and signature


def key_id(public: Ed25519PublicKey) -> str:
    """The fingerprint by which a key is known: 16 hex digits of the SHA-256 of its 32 bytes."""
    return sha256(public.public_bytes_raw()).hexdigest()[:16]


#: Points of small order: with such a key a constant signature holds for every message, so that it is nobody's.
_SMALL: Final = frozenset(
    y[:62] + f"{int(y[62:], 16) | sign:02x}"
    for y in (
        "01" + "00" * 31,
        "00" * 32,
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
    for sign in (0, 0x80)
)


def usable(public: str) -> Ed25519PublicKey:
    """A public key from 64 hex digits.

    Raises:
        WireError: it is none, or a point of small order, which is nobody's.
    """
    try:
        if public.lower() in _SMALL:
            raise ValueError
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    except ValueError:
        raise WireError(f"{public[:64]}: not a public key") from None


def key_id_of(public: str) -> str:
    """The fingerprint of a public key in hex."""
    return sha256(bytes.fromhex(public)).hexdigest()[:16]


def identity_of(by: str) -> str:
    """The id of a member's pseudonymous identity."""
    return f"identity--{uuid5(NAMESPACE, f'member {by}')}"


def _id(kind: str, *parts: str) -> str:
    return f"{kind}--{uuid5(NAMESPACE, ' '.join((kind, *parts)))}"


def _extension(**values: object) -> Object:
    return {RELEASE: {"extension_type": "property-extension", **values}}


def _common(kind: str, ident: str, by: str, tlp: str, created: str, modified: str) -> Object:
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": ident,
        "created_by_ref": identity_of(by),
        "created": created,
        "modified": modified,
        "object_marking_refs": [TLP[tlp]],
    }


def _time(day: str, version: int = 0) -> str:
    """Midnight of a day; the second version of an object that is made on the same day is a millisecond later."""
    return f"{day}T00:00:00.00{version}Z"


def _moment(day: str) -> str:
    """Midnight of a day as other tools write it back where the specification sets no precision."""
    return f"{day}T00:00:00Z"


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all objects of one campaign share."""

    about: str
    by: str
    tlp: str
    day: str
    valid_until: str
    revoked: str = ""  # day of retraction

    def wrap(self, kind: str, ident: str, body: Object) -> Object:
        modified = _time(self.revoked, 1) if self.revoked else _time(self.day)
        made = _common(kind, ident, self.by, self.tlp, _time(self.day), modified) | body
        if self.revoked:
            made["revoked"] = True
        made["extensions"] = _extension(about=self.about, member=self.by, valid_until=self.valid_until)
        return made

    def cluster(self) -> Object:
        return self.wrap("intrusion-set", _id("intrusion-set", self.about), {"name": f"Unnamed cluster {self.about[10:18]}"})

    def infrastructure(self, kind: str) -> Object:
        body = {"name": f"{kind} of campaign {self.about[10:18]}", "infrastructure_types": [INFRASTRUCTURE[kind]], "labels": [kind]}
        return self.wrap("infrastructure", _id("infrastructure", self.about, kind), body)

    def indicator(self, kind: str, value: str) -> Object:
        body = {
            "name": f"{kind} {value}",
            "indicator_types": ["anonymization" if kind != "hosting" else "malicious-activity"],
            "pattern": _pattern(value),
            "pattern_type": "stix",
            "pattern_version": "2.1",
            "valid_from": _moment(self.day),
            "valid_until": _moment(self.valid_until),
            "labels": [kind],
        }
        return self.wrap("indicator", _id("indicator", self.about, kind, value), body)

    def tie(self, source: str, verb: str, target: str) -> Object:
        body = {"relationship_type": verb, "source_ref": source, "target_ref": target}
        return self.wrap("relationship", _id("relationship", self.about, source, verb, target), body)

    def indicates(self, kind: str, value: str) -> Object:
        made = self.tie(_id("indicator", self.about, kind, value), "indicates", self.about)
        made["extensions"][RELEASE] |= {"network_kind": kind, "network": value}
        return made


def _pattern(value: str) -> str:
    if value.startswith("AS"):
        return f"[autonomous-system:number = {value[2:]}]"
    kind = "ipv6-addr" if ":" in value else "ipv4-addr"
    return f"[{kind}:value ISSUBSET '{value}']"


def techniques_of(document: Campaign) -> list[str]:
    """The ATLAS techniques that a campaign's own techniques map to."""
    return sorted({*ALWAYS, *(TO_ATLAS[t.id] for t in document.techniques if t.id in TO_ATLAS)})


def objects(release: Release, retraction: Release | None = None, same: Collection[str] = ()) -> list[Object]:
    """The STIX objects of a release, unsigned; with ``retraction``, their revoked versions.

    Args:
        same: fingerprints of other keys that the producer has or had; a retraction may be stamped with one of them.

    Raises:
        WireError: the release is not of a kind that travels as STIX, or the retraction is not this campaign's.
    """
    doc = release.document
    if isinstance(doc, Campaign):
        if retraction is not None and retraction.document.stamp.member not in {doc.stamp.member, *same}:
            raise WireError("retraction: it is not by the campaign's producer")
        return _campaign(release, doc, retraction)
    if isinstance(doc, Sighting):
        return [_sighting(release, doc)]
    if isinstance(doc, Opinion):
        return [_opinion(release, doc)]
    raise WireError(f"a {type(doc).__name__.lower()} does not travel as STIX")


def _frame(release: Release, doc: Campaign, retraction: Release | None) -> _Frame:
    revoked = ""
    if retraction is not None:
        taken = retraction.document
        if not isinstance(taken, Retraction) or taken.subject != release.id or taken.stamp.day < doc.stamp.day:
            raise WireError("retraction: it is not of this campaign, or older than it")
        revoked = taken.stamp.day
    s = doc.stamp
    return _Frame(release.id, s.member, s.tlp, s.day, s.valid_until, revoked)


def _campaign(release: Release, doc: Campaign, retraction: Release | None) -> list[Object]:
    f = _frame(release, doc, retraction)
    cluster = f.cluster()
    out = [_campaign_object(release, doc, retraction), cluster, f.tie(release.id, "attributed-to", cluster["id"])]
    out += [f.tie(release.id, "uses", ATLAS[t][0]) for t in techniques_of(doc)]
    for kind in sorted({n.kind for n in doc.networks}):
        made = f.infrastructure(kind)
        out += [made, f.tie(release.id, "uses", made["id"])]
    for n in doc.networks:
        out += [f.indicator(n.kind, n.value), f.indicates(n.kind, n.value)]
    return out


@lru_cache(maxsize=4096)
def _parts(release: bytes, retraction: bytes) -> frozenset[str]:
    doc, taken = reopen(json.loads(release)), reopen(json.loads(retraction)) if retraction else None
    return frozenset(_digest(o) for o in objects(doc, taken, () if taken is None else {taken.document.stamp.member}))


def _digest(o: Object) -> str:
    return sha256(canonical_of(o)).hexdigest()


def stands_in(part: Received, campaign: Received) -> bool:
    """Whether a derived object is, to the byte, one of those that a campaign's newest version makes."""
    assert campaign.release is not None
    return part.digest in _parts(campaign.release.canonical, campaign.retraction.canonical if campaign.retraction else b"")


def _campaign_object(release: Release, doc: Campaign, retraction: Release | None) -> Object:
    f = _frame(release, doc, retraction)
    body = {
        "name": f"Distillation campaign {release.id[10:18]}",
        "first_seen": _moment(doc.first_day),
        "last_seen": _moment(doc.last_day),
        "confidence": doc.confidence,
    }
    made = f.wrap("campaign", release.id, body)
    values = {"document": to_plain(doc)} | ({"retraction": to_plain(retraction.document)} if retraction else {})
    return made | {"extensions": _extension(**values)}


def _sighting(release: Release, doc: Sighting) -> Object:
    s = doc.stamp
    made = _common("sighting", _id("sighting", doc.subject, s.member), s.member, s.tlp, ANSWERED, _time(s.day))
    made |= {"sighting_of_ref": doc.subject, "where_sighted_refs": [identity_of(s.member)]}
    made |= {"first_seen": _moment(doc.first_day), "last_seen": _moment(doc.last_day)}
    # Numbers of exchanges never leave: a sighting that was seen has no count, one that was looked for in vain has 0.
    return made | ({} if doc.seen else {"count": 0}) | {"extensions": _extension(document=to_plain(doc))}


def _opinion(release: Release, doc: Opinion) -> Object:
    s = doc.stamp
    made = _common("opinion", _id("opinion", doc.subject, s.member), s.member, s.tlp, ANSWERED, _time(s.day))
    return made | {"opinion": doc.opinion, "object_refs": [doc.subject], "extensions": _extension(document=to_plain(doc))}


def identity(by: str) -> Object:
    """A member's pseudonymous identity; the name says no more than the key."""
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": identity_of(by),
        "created": EPOCH,
        "modified": EPOCH,
        "name": f"Member {by}",
        "identity_class": "organization",
    }


def bundle(signed: Iterable[Object], members: Iterable[str] = ()) -> Object:
    """A self-contained STIX bundle: signed objects, their members' identities and every constant they name."""
    objects_ = list(signed)
    named = [constants()[i] for i in constants() if any(i in _refs(o) for o in objects_)]
    extensions = [constants()[i] for i in (PROJECT, RELEASE, APPROVAL, SIGNATURE)]
    people = [
        identity(by)
        for by in sorted({*members, *(o["extensions"][SIGNATURE]["key"] for o in objects_ if SIGNATURE in o.get("extensions", {}))})
    ]
    everything = {o["id"]: o for o in (*extensions, *named, *people)}
    everything |= {f"{o['id']} {o['modified']}": o for o in objects_}
    ident = uuid5(NAMESPACE, sha256(b"".join(rfc8785.dumps(o) for o in everything.values())).hexdigest())
    return {"type": "bundle", "id": f"bundle--{ident}", "objects": list(everything.values())}


def _refs(o: Object) -> set[str]:
    return {o.get("created_by_ref", ""), o.get("target_ref", ""), *o.get("object_marking_refs", ())}


def sign(o: Object, key: Ed25519PrivateKey) -> Object:
    """The object with the producer's signature in its extensions."""
    bare = unsigned(o)
    value = key.sign(rfc8785.dumps(bare)).hex()
    mine = {"extension_type": "property-extension", "key": key_id(key.public_key()), "alg": "Ed25519", "value": value}
    return bare | {"extensions": bare.get("extensions", {}) | {SIGNATURE: mine}}


def _statement(digest: str, role: str) -> bytes:
    return rfc8785.dumps({"approval": "stillwatch-approval-1", "digest": digest, "role": role})


def digest_of(release: Release) -> str:
    """What a person signs: SHA-256 of the document's canonical bytes, hex."""
    return sha256(release.canonical).hexdigest()


def sign_approval(release: Release, role: str, key: Ed25519PrivateKey) -> Approval:
    """A person's approval of a document, in one role."""
    digest = digest_of(release)
    return Approval(digest, role, key_id(key.public_key()), key.sign(_statement(digest, role)).hex())


def approved(o: Object, approvals: Iterable[Approval]) -> Object:
    """The object with approvals in its extensions; sign it afterwards."""
    given = sorted({(a.digest, a.role): a for a in approvals}.items())
    told = [{"digest": a.digest, "role": a.role, "key": a.key, "value": a.value} for _, a in given]
    return o | {"extensions": o.get("extensions", {}) | {APPROVAL: {"extension_type": "property-extension", "approvals": told}}}


def _approvals(o: Object, needed: Sequence[tuple[str, str]]) -> tuple[Approval, ...]:
    """The approvals that an object carries: one for each document and role that is needed, in that order, and nothing else."""
    given = o.get("extensions", {}).get(APPROVAL)
    if given is None:
        return ()
    if not needed:
        raise WireError(f"extensions.{APPROVAL}: this object carries no document")
    told = tuple(Approval(a["digest"], a["role"], a["key"], a["value"]) for a in given["approvals"])
    if (
        given
        != {
            "extension_type": "property-extension",
            "approvals": [{"digest": a.digest, "role": a.role, "key": a.key, "value": a.value} for a in told],
        }
        or [(a.digest, a.role) for a in told] != sorted(needed)
        or not all(_KEY.fullmatch(a.key) and _HEX.fullmatch(a.value) for a in told)
    ):
        raise WireError(
            f"extensions.{APPROVAL}: it must hold an approval for each document and role that is needed, sorted, and nothing else"
        )
    return told


def _needed(*documents: Release | None) -> list[tuple[str, str]]:
    """(digest, role) of the approvals that documents need."""
    out = []
    for r in documents:
        if r is not None:
            out.append((digest_of(r), "release"))
            if (isinstance(r.document, Campaign) and r.document.counsel) or r.document.stamp.legal_basis == "counsel-opinion":
                out.append((digest_of(r), "counsel"))
    return out


def check_approvals(
    received: Received, persons: Mapping[str, Person], former: Mapping[str, Person] | None = None, settled: Collection[str] = ()
) -> None:
    """Whether enrolled persons with the roles approved every document that an object carries, each role by another key.

    Args:
        persons: those whom the producer enrolled, by fingerprint.
        former: also those who were removed since ...
        settled: ... whose word holds for these digests: documents that were taken in while they were enrolled.

    Raises:
        WireError: an approval is missing, by somebody else, or does not hold.
    """
    needed = _needed(received.release, received.retraction)
    if needed and not received.approvals:
        raise WireError("no approval: a person with the role must approve it (stillwatch release approve)")
    for a in received.approvals:
        person = ((former or persons) if a.digest in settled else persons).get(a.key)
        if person is None or a.role not in person.roles:
            raise WireError(f"approval: {a.key} is nobody whom the member enrolled with the role of {a.role}")
        try:
            person.public.verify(bytes.fromhex(a.value), _statement(a.digest, a.role))
        except InvalidSignature:
            raise WireError(f"approval: the signature of {a.key} does not hold for this document") from None
    by = {(a.digest, a.role): a.key for a in received.approvals}
    if any(by.get((digest, "release")) == key for (digest, role), key in by.items() if role == "counsel"):
        raise WireError("approval: counsel and approver must be two persons")


def unsigned(o: Object) -> Object:
    """The object without its signature."""
    rest = {k: v for k, v in o.get("extensions", {}).items() if k != SIGNATURE}
    bare = {k: v for k, v in o.items() if k != "extensions"}
    return bare | ({"extensions": rest} if rest else {})


def signer(o: Object) -> str:
    """The fingerprint of the key that an object says it is signed with; "" for none."""
    try:
        return str(o["extensions"][SIGNATURE]["key"])
    except (KeyError, TypeError):
        return ""


def verify(o: Object, public: Ed25519PublicKey, canonical: bytes | None = None) -> None:
    """Check an object's signature.

    Args:
        canonical: the canonical form of ``unsigned(o)``, where it is known already.

    Raises:
        WireError: there is none, it is by another key, or it does not hold.
    """
    try:
        given = o["extensions"][SIGNATURE]
        expected = {"extension_type": "property-extension", "key": key_id(public), "alg": "Ed25519", "value": given["value"]}
        if given != expected or not _HEX.fullmatch(given["value"]):
            raise WireError(f"extensions.{SIGNATURE}: it must be an Ed25519 signature by key {key_id(public)}")
        public.verify(bytes.fromhex(given["value"]), canonical or rfc8785.dumps(unsigned(o)))
    except InvalidSignature:
        raise WireError("the signature does not hold for these bytes") from None
    except (KeyError, TypeError, AttributeError, rfc8785.CanonicalizationError) as error:
        raise WireError(f"no signature that can be read: sign objects with the member's key ({error})") from None


def examine(o: Object, public: Ed25519PublicKey | None = None, same: Collection[str] = ()) -> Received:
    """Read an object back and refuse what is not to the last byte what ``objects`` makes.

    Args:
        public: the key it must be signed with; None leaves the signature unlooked at.
        same: fingerprints of all keys that the signer ever had; the object's member must be one of them, or the key itself.

    Raises:
        WireError: names the field.
    """
    try:
        bare = unsigned(o)
        received = _examine(bare)
        canonical = canonical_of(bare)
    except WireError:
        raise
    except DocumentError as error:
        raise WireError(f"document: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise WireError(f"not an object of this profile ({type(error).__name__}: {str(error)[:80]}); see docs/sharing.md") from None
    family = set(same) if public is None else {key_id(public), *same}
    taken = received.retraction
    if taken is not None and taken.document.stamp.member != received.by and not {taken.document.stamp.member, received.by} <= family:
        raise WireError("retraction: it is not by the campaign's producer")
    if public is not None:
        verify(o, public, canonical)
        if received.by not in family:
            raise WireError(f"member: {received.by} is not the member whose key signed it")
    return received


def canonical_of(o: Object) -> bytes:
    """RFC 8785 of an object that was made here, or is equal to one: plain ASCII, whole numbers and true alone, for which Python's own JSON, which is many
    times quicker, writes the same.
    """
    told = json.dumps(o, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return told.encode() if told.isascii() and "\\" not in told and "\x7f" not in told else rfc8785.dumps(o)


def _examine(o: Object) -> Received:
    kind, ident, extension = o["type"], o["id"], dict(o["extensions"][RELEASE])
    whole, o = o, o | {"extensions": {k: v for k, v in o["extensions"].items() if k != APPROVAL}}
    if kind == "identity":
        raise WireError("identities are made from keys and are not sent")
    release = reopen(extension["document"]) if "document" in extension else None
    retraction = reopen(extension["retraction"]) if "retraction" in extension else None
    if release is not None:
        doc = release.document
        if isinstance(doc, Campaign):
            expected = _campaign_object(release, doc, retraction)
        elif isinstance(doc, Sighting | Opinion) and retraction is None:
            expected = objects(release)[0]
        else:
            raise WireError(f"document.kind: a {doc.__struct_config__.tag} does not travel as STIX")
        by, tlp, until = doc.stamp.member, str(doc.stamp.tlp), doc.stamp.valid_until
        about = release.id if isinstance(doc, Campaign) else doc.subject
    else:
        about, until = str(extension["about"]), str(extension["valid_until"])
        tlp = next((str(name) for name, i in TLP.items() if o["object_marking_refs"] == [i]), "")
        if not tlp:
            raise WireError("object_marking_refs: one TLP 2.0 marking, up to amber+strict")
        by = str(extension["member"])
        revoked = str(o["modified"])[:10] if o.get("revoked") is True else ""
        check_parts(by, about, str(o["created"])[:10], until)
        if revoked:
            check_parts(by, about, revoked, (date.fromisoformat(revoked) + timedelta(days=1)).isoformat())
        f = _Frame(about, by, tlp, str(o["created"])[:10], until, revoked)
        expected = _derived(f, o)
    given = _approvals(whole, _needed(release, retraction))
    if kind != expected["type"] or canonical_of(o) != canonical_of(expected):
        names = sorted(k for k in {*o, *expected} if o.get(k) != expected.get(k)) or ["types of values"]
        raise WireError(f"{', '.join(names)[:200]}: not what a {str(kind)[:40]} of this profile says")
    return Received(
        ident, kind, o["modified"], about, by, tlp, until, bool(o.get("revoked")), release, retraction, given, _digest(expected)
    )


def _derived(f: _Frame, o: Object) -> Object:
    """The derived object that these few values of ``o`` stand for."""
    kind, verb = o["type"], o.get("relationship_type")
    if kind == "intrusion-set":
        return f.cluster()
    if kind == "infrastructure":
        return f.infrastructure(_known(o["labels"][0]))
    if kind == "indicator":
        label = _known(o["labels"][0])
        return f.indicator(label, _network(o["name"][len(label) + 1 :]))
    if kind == "relationship" and verb == "indicates":
        extension = o["extensions"][RELEASE]
        return f.indicates(_known(extension["network_kind"]), _network(extension["network"]))
    if kind == "relationship" and verb == "attributed-to":
        return f.tie(f.about, verb, _id("intrusion-set", f.about))
    if kind == "relationship" and verb == "uses":
        targets = {ident for ident, _ in ATLAS.values()} | {_id("infrastructure", f.about, k) for k in INFRASTRUCTURE}
        if o["target_ref"] in targets:
            return f.tie(f.about, verb, o["target_ref"])
    raise WireError(f"type: this {str(kind)[:40]} is not shared")


def _known(kind: str) -> str:
    if kind not in INFRASTRUCTURE:
        raise WireError("labels: not a kind of infrastructure")
    return kind


def _network(value: str) -> str:
    check_network(value)
    return value
