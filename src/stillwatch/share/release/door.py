"""The one door out: a draft becomes a ``Release`` or a ``Withheld`` with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal, cast

import msgspec

from stillwatch import records
from stillwatch.share.release.document import (
    Aggregate,
    Campaign,
    Document,
    DocumentError,
    Ground,
    Opinion,
    Release,
    Removed,
    Retraction,
    Scrub,
    Sighting,
    Stamp,
    Technique,
    Token,
    Tokens,
    decade,
    seal,
)
from stillwatch.share.release.policy import Policy
from stillwatch.share.release.rules import Draft, Refusal, Statistic, default_expiry, refusals

#: What a finding's technique says of a ground.  Only what the evidence itself shows is taken; everything else a person must name.
_GROUNDS: Final[dict[str, Ground]] = {"D01": "false-identity", "D02": "stolen-key", "D09": "security-control-circumvention"}
_TARGETS: Final = (("D16", "judging"), ("D18", "task-synthesis"), ("D17", "data-cleaning"), ("D11", "reasoning"), ("D12", "reasoning"), ("D27", "reasoning"))  # fmt: skip
_SCHEMA: Final = "closed schema of docs/sharing.md"


@dataclass(frozen=True, slots=True)
class Withheld:
    """A draft that may not leave, with every reason."""

    refusals: tuple[Refusal, ...]


def grounds_of(campaign: records.Campaign) -> tuple[Ground, ...]:
    """The grounds that the evidence itself shows."""
    found: set[Ground] = {_GROUNDS[t] for t, _ in campaign.techniques if t in _GROUNDS}
    if campaign.kind == "ring" and campaign.accounts >= 3:
        found.add("coordinated-inauthentic-accounts")
    return tuple(sorted(found))


def scrubbed(campaign: records.Campaign) -> tuple[tuple[Removed, int], ...]:
    """What of the evidence stays, by class, and how many of each."""
    removed: dict[Removed, int] = {
        "account-references": len(campaign.streams),
        "call-references": sum(len(r.calls) for r in campaign.reasons),
        "trait-values": sum(len(s.traits) for s in campaign.streams),
        "prompt-skeletons": len(campaign.skeletons) + len(campaign.families),
        "counts": 2 + len(campaign.timeline) + 2 * len(campaign.streams),
        "times": 2 + 2 * len(campaign.streams),
        "scores": 3 + len(campaign.streams) + len(campaign.reasons),
        "reasons": len(campaign.reasons),
        "free-text": len(campaign.against),
    }
    return tuple(sorted((k, n) for k, n in removed.items() if n))


def prepare(
    draft: Draft,
    policy: Policy,
    today: date,
    *,
    access_path: str = "unknown",
    target: str | None = None,
    tokens: Sequence[Token] = (),
    answer: Literal["sighting", "opinion", "retraction"] | None = None,
    value: str = "",
    days: tuple[date, date] | None = None,
) -> Release | Withheld:
    """Examine a draft by the ten rules and make the document that would leave.

    Args:
        draft: what is asked for.
        policy: the lab's own.
        today: the day of release; nothing finer leaves.
        access_path: how the campaign came in, of the schema's list.
        target: what capability it is after; guessed from the techniques where None.
        tokens: blinded traits, where the subject is a batch.
        answer: what is said about a peer's campaign (or, for a retraction, one's own), where the subject is a campaign's id.
        value: "seen" or "not-seen", the opinion, or the reason of the retraction.
        days: first and last day that a sighting looked at.
    """
    refused = tuple(refusals(draft, policy, today))
    if refused:
        return Withheld(refused)
    basis = policy.basis(today)
    assert basis is not None
    stamp = Stamp(
        member=policy.member,
        day=today.isoformat(),
        valid_until=default_expiry(draft, policy, today).isoformat(),
        tlp=draft.tlp or policy.default_tlp,
        legal_basis=basis.basis,
        purpose="security",
        audience="members",
    )
    try:
        return seal(_document(draft, stamp, access_path, target, tokens, answer, value, days))
    except DocumentError as error:
        return Withheld((Refusal("schema", str(error), _SCHEMA),))


def _document(
    draft: Draft,
    stamp: Stamp,
    access_path: str,
    target: str | None,
    tokens: Sequence[Token],
    answer: str | None,
    value: str,
    days: tuple[date, date] | None,
) -> Document:
    plain: dict[str, object]
    s = draft.subject
    if isinstance(s, records.Campaign):
        shown = {t for t, _ in s.techniques}
        plain = {
            "techniques": [Technique(t, cast(Literal["observed", "inferred"], g)) for t, g in sorted(s.techniques)],
            "confidence": 85 if s.q <= 1e-6 else 50 if s.q <= 1e-3 else 15,
            "grounds": sorted(set(draft.grounds)),
            "counsel": draft.counsel_releases,
            "accounts": decade(s.accounts),
            "first_day": _day(s.first),
            "last_day": _day(s.last),
            "access_path": access_path,
            "target": target or next((name for t, name in _TARGETS if t in shown), "unknown"),
            "networks": sorted(draft.networks, key=lambda n: n.value),
            "scrub": [Scrub(cast(Removed, what), "stillwatch-release-1", decade(n)) for what, n in sorted(draft.removed)],
        }
        return _typed(Campaign, stamp, plain)
    if isinstance(s, Statistic):
        plain = {"technique": s.technique, "campaigns": decade(sum(s.by_member.values())), "until_day": s.until.isoformat()}
        return _typed(Aggregate, stamp, plain)
    if isinstance(s, str):
        plain = {"subject": s}
        if answer == "sighting" and days and value in ("seen", "not-seen"):
            seen = {"seen": value == "seen", "first_day": days[0].isoformat(), "last_day": days[1].isoformat()}
            return _typed(Sighting, stamp, plain | seen)
        if answer == "opinion":
            return _typed(Opinion, stamp, plain | {"opinion": value})
        if answer == "retraction":
            return _typed(Retraction, stamp, plain | {"reason": value})
        raise DocumentError("answer: give a sighting with its days, an opinion or a retraction")
    return _typed(Tokens, stamp, {"trait": s.trait, "epoch": s.epoch, "tokens": sorted(tokens, key=lambda t: t.tag)})


def _typed(kind: type[Document], stamp: Stamp, values: dict[str, object]) -> Document:
    """Values of unproven type, through the schema."""
    plain = msgspec.to_builtins({k: v for k, v in values.items() if k != "kind"} | {"stamp": stamp, "kind": kind.__struct_config__.tag})
    try:
        return msgspec.convert(plain, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise DocumentError(str(error)) from None


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
