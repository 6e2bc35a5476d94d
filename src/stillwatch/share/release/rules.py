"""The ten rules for sharing among competitors, each a check of its own.

A check looks at a draft and the policy and returns why the draft may not leave, or None.  What the closed schema already makes impossible is checked
again where a draft could ask for it, so that the refusal can be explained in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from stillwatch import records
from stillwatch.share.release.document import LONGEST_DAYS, Campaign, Document, Ground, Network, Tlp
from stillwatch.share.release.policy import KNOWN_BASES, Policy
from stillwatch.share.release.scan import findings


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something may not leave."""

    rule: str
    reason: str
    reference: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """A template's fixed words that somebody wants to share in clear, with what stands behind them."""

    text: str
    accounts: int
    calls: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Blinded traits that shall go into private matching."""

    trait: str
    epoch: str
    members_of_campaigns: int  # accounts they come from that are attributed to a campaign
    others: int  # accounts they come from that are not
    size: int
    sent_today: int


@dataclass(frozen=True, slots=True)
class Statistic:
    """An aggregate over members: contributions by member, and the newest day in it."""

    technique: str
    by_member: dict[str, int]
    until: date


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody asks to release.

    ``subject`` is the evidence: a campaign, a batch of traits, a statistic, or the id of a peer's campaign that is answered.
    """

    subject: records.Campaign | Batch | Statistic | str
    grounds: tuple[Ground, ...] = ()
    networks: tuple[Network, ...] = ()
    fragment: Fragment | None = None
    tlp: Tlp | None = None
    valid_days: int | None = None
    counsel_releases: bool = False  # a person with the role of counsel has released it in spite of rule 1
    peer_signals: tuple[str, ...] = ()  # campaigns of peers that drew attention to it
    audience: str = "members"
    purpose: str = "security"
    asks_for: str = ""  # an action against somebody; never allowed
    ledger: str = ""  # the log that records this decision
    removed: tuple[tuple[str, int], ...] = field(default=())


Check = Callable[[Draft, Policy, date], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: ``id`` as in the list of ten, a reference, and its check."""

    id: str
    title: str
    reference: str
    check: Check


def more_than_terms_of_service(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 1."""
    if not isinstance(draft.subject, records.Campaign) or draft.grounds or draft.counsel_releases:
        return None
    return (
        "nothing but a breach of terms of service is named: name a ground (false identity, payment fraud, stolen key, region evasion, circumvention of "
        "a security control, coordinated inauthentic accounts) or have counsel release it"
    )


def own_bits(campaign: records.Campaign) -> float:
    """A campaign's evidence without what partners' word added to it in a pooled look."""
    return campaign.bits - sum(max(0.0, r.bits) for r in campaign.reasons if r.id == "partners")


def own_evidence(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 2."""
    if draft.asks_for:
        return f"it asks peers for an action ({draft.asks_for}); every member decides on its own evidence"
    if not isinstance(draft.subject, records.Campaign):
        return None
    if own_bits(draft.subject) < policy.minimum_bits:
        told = f"; the {len(draft.peer_signals)} signals of peers count for nothing here" if draft.peer_signals else ""
        return f"own evidence is {own_bits(draft.subject):.1f} bits, below the {policy.minimum_bits:g} that the policy asks for{told}"
    if draft.subject.q > 0.05:
        return f"own evidence has q = {draft.subject.q:.2g}, above 0.05"
    return None


def no_small_groups(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 3."""
    s = draft.subject
    if not isinstance(s, Statistic):
        return None
    members, total = len([n for n in s.by_member.values() if n > 0]), sum(s.by_member.values())
    if members < 5:
        return f"{members} contributors; an aggregate needs at least 5"
    if max(s.by_member.values()) > 0.25 * total:
        return f"one contributor stands for {100 * max(s.by_member.values()) / total:.0f} % of it; at most 25 % is allowed"
    if (today - s.until).days < 90:
        return f"its newest data are {(today - s.until).days} days old; at least 90 are needed"
    return None


def legal_basis(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 4."""
    if policy.basis(today) is None:
        known = "; ".join(f"{g.basis} until {g.known_until}" for g in policy.legal) or "none"
        return f"no legal basis is known to hold on {today} ({known}); counsel must renew the policy"
    return None


def scrub_record(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 5."""
    if isinstance(draft.subject, records.Campaign) and not draft.removed:
        return "nothing says what was removed from the evidence"
    return None


def template_fragment(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 6."""
    f = draft.fragment
    if f is None:
        return None
    if f.accounts < policy.fragment_accounts or f.calls < policy.fragment_calls:
        return f"a template fragment needs {policy.fragment_accounts} accounts and {policy.fragment_calls} calls behind it, not {f.accounts} and {f.calls}"
    seen = findings(f.text)
    if seen:
        return f"the template fragment holds {', '.join(seen)}"
    if not draft.counsel_releases:
        return "a template fragment in clear needs counsel's own release"
    return "template fragments in clear are not in version 1 of the format; share the template as a token"


def suspects_only(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 7."""
    b = draft.subject
    if not isinstance(b, Batch):
        return None
    if b.others or not b.members_of_campaigns:
        return f"{b.others} of the accounts are in no campaign; only traits of accounts that are already suspect may be matched"
    if b.size > policy.token_cap:
        return f"{b.size} traits in one batch; the cap is {policy.token_cap}"
    if b.sent_today + b.size > policy.token_budget_a_day:
        return f"{b.sent_today} traits of this kind were sent today; with these the budget of {policy.token_budget_a_day} is exceeded"
    return None


def expires(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 8."""
    days = policy.valid_days if draft.valid_days is None else draft.valid_days
    if not 1 <= days <= LONGEST_DAYS:
        return f"it would be valid for {days} days; expiry is mandatory, after at most {LONGEST_DAYS}"
    return None


def purpose(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 9."""
    if draft.audience != "members":
        return f"audience {draft.audience}: only members' security roles are served; a government route is separate and off"
    if draft.purpose != "security":
        return f"purpose {draft.purpose}: only security is a purpose"
    return None


def recorded(draft: Draft, policy: Policy, today: date) -> str | None:
    """Rule 10."""
    return None if draft.ledger else "no append-only log is named that records this decision"


_RULES: Final = "docs/sharing.md"
RULES: Final = (
    Rule(
        "R01",
        "More than terms of service",
        f"{_RULES}#r01; Sherman Act s. 1, TFEU Art. 101: joint refusals to deal",
        more_than_terms_of_service,
    ),
    Rule("R02", "No enforcement on a peer's word alone", f"{_RULES}#r02; unilateral decisions on own evidence", own_evidence),
    Rule(
        "R03",
        "No small-group statistics",
        f"{_RULES}#r03; the former DOJ/FTC safety zone for exchanges of information (withdrawn 2023)",
        no_small_groups,
    ),
    Rule("R04", "A legal basis in force", f"{_RULES}#r04; 6 U.S.C. 1503-1505; DOJ/FTC policy statement of 10 April 2014", legal_basis),
    Rule("R05", "Scrub record", f"{_RULES}#r05; 6 U.S.C. 1503(d)(2)", scrub_record),
    Rule("R06", "Template fragments in clear", f"{_RULES}#r06; GDPR Art. 5(1)(c)", template_fragment),
    Rule("R07", "Private matching of suspects only", f"{_RULES}#r07; GDPR Art. 5(1)(c)", suspects_only),
    Rule("R08", "Expiry", f"{_RULES}#r08; GDPR Art. 5(1)(d), (e)", expires),
    Rule("R09", "Purpose and audience", f"{_RULES}#r09; GDPR Art. 5(1)(b)", purpose),
    Rule("R10", "Recorded", f"{_RULES}#r10; GDPR Art. 5(2)", recorded),
)


def refusals(draft: Draft, policy: Policy, today: date) -> Sequence[Refusal]:
    """Every rule's word on a draft; empty when it may leave."""
    said = ((r, r.check(draft, policy, today)) for r in RULES)
    return tuple(Refusal(r.id, why, r.reference) for r, why in said if why)


#: Days that may pass between the day that a document bears and the day on which a hub first takes it.
FRESH_DAYS: Final = 7


def undocumented(document: Document, today: date, *, fresh: bool = False) -> Sequence[Refusal]:
    """What the ten rules say of a document alone, to whoever receives it: the hub with its clock and each reader with his; empty where it may stand.

    Rules 2, 3, 5 to 7 and 9 are asked of the evidence at the door, or closed by the schema.  Whether counsel released what rules 1 and 4 leave to counsel is told by
    the approvals that travel with it.

    Args:
        document: what was received.
        today: the receiver's day.
        fresh: also whether it bears a day close enough to be taken in for the first time.
    """
    day, until = date.fromisoformat(document.stamp.day), date.fromisoformat(document.stamp.valid_until)
    said: list[tuple[str, str]] = []
    if isinstance(document, Campaign) and not document.grounds and not document.counsel:
        said.append(("R01", "it names no ground beyond terms of service, and counsel has not released it"))
    if day > today:
        said.append(("R08", f"its day is {day}, and today is {today}"))
    if until < today or (fresh and until <= today):
        said.append(("R08", f"it expired on {until}"))
    if fresh and (today - day).days > FRESH_DAYS:
        said.append(("R08", f"it was prepared on {day}, more than {FRESH_DAYS} days ago: prepare it again"))
    known = next((g for g in KNOWN_BASES if g.basis == document.stamp.legal_basis), None)
    if known is not None and day > known.known_until:
        said.append(("R04", f"{known.basis} is known to hold until {known.known_until}, not on {day}"))
    elif known is not None and fresh and today > known.known_until:
        said.append(("R04", f"{known.basis} was known to hold until {known.known_until} and has lapsed"))
    return tuple(Refusal(rule, why, _BY_ID[rule].reference) for rule, why in said)


_BY_ID: Final = {r.id: r for r in RULES}


def default_expiry(draft: Draft, policy: Policy, today: date) -> date:
    """The day on which it stops being valid."""
    return today + timedelta(days=policy.valid_days if draft.valid_days is None else draft.valid_days)
