"""What may leave: closed documents, and the sealed ``Release`` that holds one.

A document has no free text.  Every value is one of an enumeration, a day, a decade, a network, a key's fingerprint or, for tokens only, an opaque group
of bytes.  A document's id is made from its own bytes, so that not even an id carries anything.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, cast
from uuid import UUID, uuid5

import msgspec
import rfc8785

from stillwatch.records import TECHNIQUES

#: Version of the document format; old documents stay readable.
FORMAT: Final = "stillwatch-release-1"
#: Name space of all ids that are made from content.
NAMESPACE: Final = UUID("5a0f2e0c-6c1b-5d6e-9d3b-0b8f6f7f9a11")
#: The longest time until a release expires, in days, and how far ahead of the clock a released day may lie.
LONGEST_DAYS: Final = 180
#: How many networks one release may name, and tokens one batch may have.
MAX_NETWORKS: Final = 64
MAX_TOKENS: Final = 10_000

#: What is not globally reachable, or names nobody (IANA IPv4 and IPv6 Special-Purpose Address Registries, multicast, reserved; AS numbers likewise).
_SPECIAL: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
            "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
            "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
        ),
    )
)  # fmt: skip
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_AS: Final = ((0, 0), (23456, 23456), (64496, 131071), (4200000000, 0xFFFFFFFF))

Ground = Literal[
    "false-identity", "payment-fraud", "stolen-key", "region-evasion", "security-control-circumvention", "coordinated-inauthentic-accounts"
]
Basis = Literal["us-cisa-2015", "us-doj-ftc-2014", "counsel-opinion"]
Tlp = Literal["clear", "green", "amber", "amber+strict"]
Removed = Literal[
    "account-references", "call-references", "trait-values", "prompt-skeletons", "counts", "times", "scores", "reasons", "free-text"
]
_DAY: Final = re.compile("20[0-9]{2}-[01][0-9]-[0-3][0-9]")
_MEMBER: Final = re.compile("[0-9a-f]{16}")
_ABOUT: Final = re.compile("campaign--[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
Day = Annotated[str, msgspec.Meta(pattern=f"^{_DAY.pattern}$", min_length=10, max_length=10)]
KeyId = Annotated[str, msgspec.Meta(pattern=f"^{_MEMBER.pattern}$", min_length=16, max_length=16)]
CampaignId = Annotated[str, msgspec.Meta(pattern=f"^{_ABOUT.pattern}$", min_length=46, max_length=46)]
Decade = Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
TraitKind = Literal["payment", "registration", "network", "client", "template"]
_TechniqueId = Literal[tuple(TECHNIQUES)]  # type: ignore[valid-type]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whatever stands in a document; a field that is not named here is refused."""


class Technique(Part, frozen=True):
    """A technique id of the vocabulary with its evidence grade."""

    id: _TechniqueId  # type: ignore[valid-type]
    grade: Literal["observed", "inferred"]


class Network(Part, frozen=True):
    """Infrastructure of a proxy operator: an autonomous system or a network, never a single address."""

    kind: Literal["proxy-pool", "hosting", "anonymisation", "reseller"]
    value: Annotated[str, msgspec.Meta(pattern=r"^(AS[1-9][0-9]{0,9}|[0-9a-f:.]{3,39}/[0-9]{1,2})$", max_length=42)]


class Scrub(Part, frozen=True):
    """One line of the scrub record: a class of content that was removed, by what, and the decade of how many times."""

    removed: Removed
    tool: Literal["stillwatch-release-1"]
    times: Decade


class Stamp(Part, frozen=True):
    """What every document carries."""

    member: KeyId
    day: Day
    valid_until: Day
    tlp: Tlp
    legal_basis: Basis
    purpose: Literal["security"]
    audience: Literal["members"]


class Campaign(Part, frozen=True, tag="campaign", tag_field="kind"):
    """What one lab saw of a campaign, in coarse bins."""

    stamp: Stamp
    techniques: Annotated[tuple[Technique, ...], msgspec.Meta(min_length=1, max_length=27)]
    confidence: Literal[15, 50, 85]
    grounds: Annotated[tuple[Ground, ...], msgspec.Meta(max_length=6)]
    counsel: bool
    accounts: Decade
    first_day: Day
    last_day: Day
    access_path: Literal["api", "cloud-marketplace", "aggregator", "reseller", "unknown"]
    target: Literal["reasoning", "coding", "agentic", "judging", "task-synthesis", "data-cleaning", "general", "unknown"]
    networks: Annotated[tuple[Network, ...], msgspec.Meta(max_length=MAX_NETWORKS)]
    scrub: Annotated[tuple[Scrub, ...], msgspec.Meta(min_length=1, max_length=9)]


class Sighting(Part, frozen=True, tag="sighting", tag_field="kind"):
    """A lab looked for another's campaign: seen or not seen, in which days, no number."""

    stamp: Stamp
    subject: CampaignId
    seen: bool
    first_day: Day
    last_day: Day


class Opinion(Part, frozen=True, tag="opinion", tag_field="kind"):
    """Agreement with another's campaign; disagreement is how a false positive is reported."""

    stamp: Stamp
    subject: CampaignId
    opinion: Literal["strongly-disagree", "disagree", "neutral", "agree", "strongly-agree"]


class Retraction(Part, frozen=True, tag="retraction", tag_field="kind"):
    """A lab takes its own campaign back."""

    stamp: Stamp
    subject: CampaignId
    reason: Literal["error", "appeal-upheld", "evidence-lapsed", "legal"]


class Token(Part, frozen=True):
    """One blinded trait: the tag that joins, a share of its key, and the sealed context (hex)."""

    tag: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$", max_length=32)]
    share: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$", max_length=64)]
    sealed: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{96}$", max_length=96)]


class Tokens(Part, frozen=True, tag="tokens", tag_field="kind"):
    """A batch of blinded traits of accounts that are already suspect."""

    stamp: Stamp
    trait: TraitKind
    epoch: Annotated[str, msgspec.Meta(pattern=r"^20[0-9]{2}q[1-4]$", max_length=6)]
    tokens: Annotated[tuple[Token, ...], msgspec.Meta(min_length=1, max_length=MAX_TOKENS)]


class Aggregate(Part, frozen=True, tag="aggregate", tag_field="kind"):
    """How many campaigns showed a technique, over many contributors, in decades."""

    stamp: Stamp
    technique: _TechniqueId  # type: ignore[valid-type]
    campaigns: Decade
    until_day: Day


Document = Campaign | Sighting | Opinion | Retraction | Tokens | Aggregate
# msgspec describes a type at its first use, and crashes where two threads do so at once: a hub's first requests.
msgspec.json.Decoder(Document)


class DocumentError(ValueError):
    """Something that may not leave or come in; the message names the field."""


def _calendar(value: str, field: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise DocumentError(f"{field}: {value} is no day of the calendar") from None


def check_document(doc: Document) -> None:
    """What the types cannot say: order of days, expiry, canonical networks, sorted and single entries.

    Raises:
        DocumentError: names the field.
    """
    day, until = _calendar(doc.stamp.day, "stamp.day"), _calendar(doc.stamp.valid_until, "stamp.valid_until")
    if not 0 < (until - day).days <= LONGEST_DAYS:
        raise DocumentError(f"stamp.valid_until: must lie 1 to {LONGEST_DAYS} days after stamp.day")
    if isinstance(doc, Campaign | Sighting):
        first, last = _calendar(doc.first_day, "first_day"), _calendar(doc.last_day, "last_day")
        if not first <= last <= day:
            raise DocumentError("first_day, last_day: must be in order and not after stamp.day")
        if (day - first).days > 3660:
            raise DocumentError("first_day: more than ten years before stamp.day")
    if isinstance(doc, Campaign):
        for name, values in (
            ("techniques", [t.id for t in doc.techniques]),
            ("grounds", list(doc.grounds)),
            ("networks", [n.value for n in doc.networks]),
            ("scrub", [s.removed for s in doc.scrub]),
        ):
            if values != sorted(set(values)):
                raise DocumentError(f"{name}: must be sorted, each once")
        for n in doc.networks:
            check_network(n.value)
    if isinstance(doc, Tokens) and [t.tag for t in doc.tokens] != sorted({t.tag for t in doc.tokens}):
        raise DocumentError("tokens: must be sorted by tag, each once")
    if isinstance(doc, Aggregate):
        _calendar(doc.until_day, "until_day")


def check_network(value: str) -> None:
    """An autonomous system's number, or a public network of at least 256 addresses (IPv6: /48 or larger) in its canonical form.

    Raises:
        DocumentError: it is none, or not on the public internet (IANA's registries of special-purpose addresses and AS numbers).
    """
    if value.startswith("AS"):
        number = int(value[2:])
        if number > 0xFFFFFFFF or value != f"AS{number}":
            raise DocumentError(f"networks: {value} is no autonomous system's number")
        if any(first <= number <= last for first, last in _SPECIAL_AS):
            raise DocumentError(f"networks: {value} is reserved for private use or documentation and names no network on the internet")
        return
    try:
        net = ipaddress.ip_network(value)
    except ValueError as error:
        raise DocumentError(f"networks: {error}; give a network such as 192.31.196.0/24, or AS112") from None
    if str(net) != value:
        raise DocumentError(f"networks: write {net}")
    longest, shortest = (24, 8) if net.version == 4 else (48, 16)
    if not shortest <= net.prefixlen <= longest:
        raise DocumentError(f"networks: {value}: the prefix must be from /{shortest} to /{longest}, so that nobody's own address is named")
    special = next((n for n in _SPECIAL if n.version == net.version and n.overlaps(net)), None)
    if special is not None or (net.version == 6 and not _UNICAST.supernet_of(net)):
        raise DocumentError(f"networks: {value} is not a network of the public internet{f': {special} is not' if special else ''}")


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Release:
    """A document that passed the door.  It has no public constructor: ``prepare`` and ``reopen`` make it."""

    document: Document
    canonical: bytes  # RFC 8785
    id: str  # type--uuid5 of the canonical bytes

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError(
            "a Release is made by stillwatch.share.release alone: by prepare() from evidence, or by reopen() from received bytes"
        )


def seal(document: Document) -> Release:
    """Only for this room: wrap a document whose rules have been checked."""
    check_document(document)
    canonical = rfc8785.dumps(to_plain(document))
    made = object.__new__(Release)
    for name, value in (("document", document), ("canonical", canonical), ("id", identifier(document, canonical))):
        object.__setattr__(made, name, value)
    return made


def check_parts(member: str, about: str, day: str, until: str) -> None:
    """Hold single values to the types of documents, for objects that repeat some of them.

    Raises:
        DocumentError: names the field.
    """
    for field, value, pattern in (("member", member, _MEMBER), ("about", about, _ABOUT), ("day", day, _DAY), ("valid_until", until, _DAY)):
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise DocumentError(f"{field}: not of the form {pattern.pattern}")
    if not 0 < (_calendar(until, "valid_until") - _calendar(day, "day")).days <= LONGEST_DAYS:
        raise DocumentError(f"valid_until: must lie 1 to {LONGEST_DAYS} days after the day of release")


def identifier(document: Document, canonical: bytes) -> str:
    """The id of a document: its kind and a UUIDv5 of the SHA-256 of its canonical bytes."""
    return f"{kind_of(document)}--{uuid5(NAMESPACE, sha256(canonical).hexdigest())}"


def kind_of(document: Document) -> str:
    """``campaign``, ``sighting``, ..."""
    return str(type(document).__struct_config__.tag)


def to_plain(document: Document) -> dict[str, Any]:
    """The document as JSON values, with its format."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return {"format": FORMAT, **plain}


def reopen(received: Mapping[str, Any]) -> Release:
    """A received document, examined as if it were to leave here.

    Raises:
        DocumentError: it is not in the closed schema; the message names the field.
    """
    plain = dict(received)
    if plain.pop("format", None) != FORMAT:
        raise DocumentError(f"format: must be {FORMAT}")
    try:
        document = msgspec.convert(plain, type=Document, strict=True)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DocumentError(str(error)) from None
    made = seal(document)
    if made.canonical != rfc8785.dumps({"format": FORMAT, **plain}):
        raise DocumentError("not in the canonical form: a default was left out or a value was written otherwise")
    return made


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The closed JSON schema of documents, as shipped in ``release-1.schema.json``."""
    made = msgspec.json.schema(Document)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{FORMAT}: what may leave a lab",
        **made,
        "$defs": {k: _closed(v) for k, v in made["$defs"].items()},
    }


def _closed(definition: dict[str, Any]) -> dict[str, Any]:
    """Forbid unknown fields, and let documents carry their format."""
    properties = definition.get("properties", {})
    if "kind" in properties and "stamp" in properties:
        definition = {
            **definition,
            "properties": {"format": {"const": FORMAT}, **properties},
            "required": ["format", *definition["required"]],
        }
    return {**definition, "additionalProperties": False}


def decade(n: int) -> Decade:
    """0 for none, 1 for 1 to 9, 2 for 10 to 99, ..., 9 for 100 million and more."""
    return cast(Decade, min(9, len(str(n))) if n > 0 else 0)
