"""Score one group of streams: evidence by trait class, known relations that explain it away, and who belongs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.population import DAY, MISSING, Population, Trait
from stillwatch.watch.campaign.urn import even_bits, likeliest_concentration, slices_bits, urn_of_codes

#: No trait class may weigh more than this, so that no single kind of evidence can convict.
CLASS_CAP: Final = 30.0
#: A class with at least this many bits counts as a leg to stand on; two legs are needed.
LEG: Final = 3.0
#: Repetition of items across owners speaks against a harvest, but not without end: harvesters sample an item several times too.
REPEAT_FLOOR: Final = -40.0
#: Uneven work costs an operator nothing to arrange, so it cannot acquit.
UNEVEN_FLOOR: Final = -5.0
#: Below this many other accounts whose trait is known, the trait is not assessed.
MIN_OTHERS: Final = 20
#: Members' share of a group's calls and owners below which the group is mixed traffic and not the ring's own.
PURITY: Final = 0.6
MIN_OWNERS: Final = 3
#: Bits an account's own traits must have for it to belong: to look like everybody else is not enough.
MEMBER: Final = 3.0
MIN_CALLS: Final = 8

#: Local bits without which no word of partners counts (rule R02), and the most that their word may weigh, whoever lies.
LOCAL_FLOOR: Final = 2.5
PARTNERS_CAP: Final = 12.0
#: Of honest suspects, one in ten at least is taken to be a customer of several labs who is suspected there too: an assumption, raised by what is seen.
RAREST: Final = 0.1
_SHARES: Final = np.array([0.3, 0.6, 0.9])

#: Names of the classes that say who operates the accounts, in the order of the report.
OPERATOR: Final = ("payment", "mail", "registration", "network", "quota")


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Streams to be tested together; arrays run over its accounts (``who`` ascending)."""

    family: int | None  # None: calls tied by their client alone
    client: int | None
    key: tuple[int, ...]
    who: NDArray[np.int64]
    calls: NDArray[np.int64]
    repeated: NDArray[np.int64]
    texts: NDArray[np.int64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    clients: NDArray[np.int64]  # the client of most of these calls
    pool: int | None = None  # set where shared addresses chose the accounts


@dataclass(frozen=True, slots=True)
class Finding:
    """Bits and the plain sentence behind them; ``assessed`` False where the log gave nothing to judge by."""

    id: str
    bits: float
    text: str
    assessed: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A group's evidence; ``member`` and ``member_bits`` run over ``group.who``."""

    group: Group
    bits: float
    findings: tuple[Finding, ...]
    relation: str | None
    member: NDArray[np.bool_]  # over group.who
    member_bits: NDArray[np.float64]
    legs: int
    pure: bool = False
    local: float | None = None  # bits without partners' word; None where nobody was asked
    explained: frozenset[str] = field(default_factory=frozenset)

    def passes(self, threshold: float) -> bool:
        """Whether it is a campaign at this threshold in bits.  Partners' word counts only beside local evidence, and as one leg of the two."""
        own = self.local is None or self.local >= LOCAL_FLOOR
        return self.bits >= threshold and self.legs >= 2 and self.pure and own

    def suspicious(self) -> bool:
        """Whether it is worth asking partners about: disjoint work, some evidence of one operator, and nothing honest that explains it."""
        slices = next(f.bits for f in self.findings if f.id == "slices")
        return self.relation is None and slices > 0 and self.bits >= LOCAL_FLOOR and self.legs >= 1


def _trait_bits(t: Trait, reps: NDArray[np.int64], who: NDArray[np.int64]) -> tuple[float, int, int, int]:
    """(bits, accounts with the trait known, distinct values, accounts outside); one account per owner speaks."""
    speaking, everybody = t.codes[reps], t.codes[who]
    speaking, everybody = speaking[speaking >= 0], everybody[everybody >= 0]
    bits, distinct, _ = urn_of_codes(speaking, everybody, t.counts, t.known)
    return float(bits), len(speaking), distinct, t.known - len(everybody)


def _assess(name: str, what: str, t: Trait, reps: NDArray[np.int64], who: NDArray[np.int64]) -> Finding:
    bits, known, distinct, outside = _trait_bits(t, reps, who)
    if known < 2 or outside < MIN_OTHERS:
        why = "the log and the accounts file do not say" if known < 2 else f"only {outside} other accounts to compare with"
        return Finding(name, 0.0, f"{what}: not assessed, {why}.", assessed=False)
    return Finding(
        name, min(CLASS_CAP, bits), f"{what}: {known} accounts show {distinct} different values, judged against {outside} other accounts."
    )


def _network(pop: Population, reps: NDArray[np.int64], who: NDArray[np.int64]) -> Finding:
    what = "Shared internet addresses"
    _, codes = pop.addresses(reps)
    _, all_codes = pop.addresses(who)
    if len(codes) < 2 or pop.address_uses - len(all_codes) < MIN_OTHERS:
        return Finding("network", 0.0, f"{what}: not assessed, too few addresses in the log.", assessed=False)
    bits, distinct, shared = urn_of_codes(codes, all_codes, pop.address_counts, pop.address_uses)
    text = f"{what}: {shared} of the {distinct} addresses they called from served more than one of these accounts."
    return Finding("network", min(CLASS_CAP, float(bits)), text)


_CHOSEN: Final = Finding(
    "network", 0.0, "Shared internet addresses: they chose these accounts, so they are not counted as evidence again.", assessed=False
)


def _quota(group: Group, reps: NDArray[np.intp]) -> Finding:
    """Equal numbers of calls per account, as a load balancer deals them, against the uneven ones of people."""
    what = "Equal work per account"
    if group.family is None and group.pool is None:
        return Finding("quota", 0.0, f"{what}: not assessed for calls that only their client ties together.", assessed=False)
    calls = group.calls[reps]
    ordered = np.sort(calls)
    low, middle, high = (int(ordered[int(share * (len(ordered) - 1))]) for share in (0.1, 0.5, 0.9))
    text = f"{what}: four in five accounts sent {low} to {high} of these calls (median {middle})."
    return Finding("quota", min(CLASS_CAP, max(UNEVEN_FLOOR, even_bits(calls))), text)


def _partners(pop: Population, reps: NDArray[np.int64]) -> Finding:
    """Overlap with partners' suspicions, against how usual it is for this lab's suspicions: honest customers of several labs overlap too.

    A likelihood ratio of a share of 30, 60 or 90 % (equally likely) against that rate; the strongest kind of trait counts, none twice.
    """
    best = Finding("partners", 0.0, "Partners: none of these accounts' traits was sent for matching.", assessed=False)
    for kind, flags in pop.partners.items():
        n, k = int((flags[reps] >= 0).sum()), int((flags[reps] == 1).sum())
        if n < 2:
            continue
        rate = min(0.5, max(RAREST, pop.partner_rates.get(kind, 0.0)))
        logs = k * np.log2(_SHARES / rate) + (n - k) * np.log2((1 - _SHARES) / (1 - rate))
        bits = float(min(PARTNERS_CAP, np.log2(np.exp2(logs - logs.max()).mean()) + logs.max() - np.log2(max(1, len(pop.partners)))))
        if not best.assessed or bits > best.bits:
            text = f"Partners: {k} of {n} accounts have a {kind} trait that suspicions at other labs show too; {rate:.0%} is taken to be usual."
            best = Finding("partners", max(-PARTNERS_CAP, bits), text)
    return best


def _relation(pop: Population, reps: NDArray[np.int64]) -> tuple[str | None, frozenset[str]]:
    """A known honest relation that explains shared traits, and the classes it explains."""
    domains, cards = pop.mail_domain.codes[reps], pop.payment.codes[reps]
    if (pop.verified[reps] == 1).all() and (domains >= 0).all() and (cards >= 0).all():
        own = (pop.mail_domain.counts[domains] == 1).all() and (pop.payment.counts[cards] == 1).all()
        if own and (pop.created[reps] < pop.first[reps] - 30 * DAY).all():
            return "verified firms of long standing under one roof, each with a mail domain and a card of its own", frozenset({"network"})
    position, codes = pop.addresses(reps)
    if len(codes):
        values, counts = np.unique(codes, return_counts=True)
        places = values[counts >= max(3, 0.2 * len(reps))]
        there = len(np.unique(position[np.isin(codes, places)]))
        elsewhere = counts[~np.isin(values, places)]
        brief = bool((pop.address_last[places] - pop.address_first[places] <= 4 * DAY).all())
        if len(places) <= 3 and there >= 0.8 * len(reps) and brief and (elsewhere <= 1).sum() >= 0.95 * len(elsewhere):
            return "people who met at one place for a few days (an event)", frozenset({"registration", "network"})
    return None, frozenset()


def _membership(pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bits for each account belonging to the ``reference`` accounts, leave-one-out, against being a customer like the others."""
    who = group.who
    n_in = int(reference.sum())
    bits = np.zeros(len(who))
    client = np.array([pop.client_codes.get(c, MISSING) for c in group.clients.tolist()], np.int64)
    for t in (pop.mail_domain, pop.mail_shape, pop.signup_day, pop.age):
        bits += _predicted(t, t.codes[who], reference, -3.0)
    # A ring may recruit late or buy an old account, but its harness does not change from account to account.  That others use the same tool says nothing.
    bits += np.minimum(0.0, _predicted(pop.client, client, reference, -6.0))
    bits += _predicted_quota(group, reference)
    verified = pop.verified[who]
    ours = pop.verified[who[reference]]
    others_known = pop.verified_known[0] - int((ours >= 0).sum())
    if others_known >= MIN_OTHERS and (verified >= 0).all():
        others_verified = pop.verified_known[1] - int((ours == 1).sum())
        rate_in = (verified[reference].mean() * n_in + 0.5) / (n_in + 1)
        rate_out = (others_verified + 0.5) / (others_known + 1)
        bits += np.where(verified == 1, np.log2(rate_in / rate_out), np.log2((1 - rate_in) / (1 - rate_out)))
    for shares, base in (_shares_value(pop.payment, who, reference), _shares_address(pop, who, reference)):
        if base is None:
            continue
        others = (shares[reference].sum() - (shares & reference) + 0.5) / (n_in - reference + 1.0)
        bits += np.where(shares, np.log2(others / base), np.log2((1 - others) / (1 - base)))
    return bits + _partners_membership(pop, who, reference)


def _partners_membership(pop: Population, who: NDArray[np.int64], reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bits for each account by whether partners share a trait of it, as the other reference accounts predict it; the strongest kind counts."""
    best = np.zeros(len(who))
    for kind, flags in pop.partners.items():
        mine = flags[who]
        rate = min(0.5, max(RAREST, pop.partner_rates.get(kind, 0.0)))
        one, asked = (mine == 1) & reference, (mine >= 0) & reference
        inside = (one.sum() - one + 0.5) / (asked.sum() - asked + 1.0)
        bits = np.where(mine == 1, np.log2(inside / rate), np.where(mine == 0, np.log2((1 - inside) / (1 - rate)), 0.0))
        best = np.where(np.abs(bits) > np.abs(best), bits, best)
    return np.clip(best, -6.0, 6.0)


def _predicted(t: Trait, codes: NDArray[np.int64], reference: NDArray[np.bool_], least: float) -> NDArray[np.float64]:
    """Bits of each account's value as the urn of the other reference accounts predicts it, against the population.

    The urn's concentration is the likeliest for this group: where its members differ among themselves, one more that differs is no stranger.
    """
    known = codes >= 0
    bits = np.zeros(len(codes))
    # Only the values that the group shows are looked at, for there may be as many values as accounts.
    shown, c = np.unique(codes[known], return_inverse=True)
    own = reference[known].astype(np.int64)
    inside = np.bincount(c[own == 1], minlength=len(shown))
    outside = np.maximum(t.counts[shown] - inside, 0)
    total = t.known - int(t.counts[shown].sum()) + int(outside.sum())
    if total < MIN_OTHERS or inside.sum() < 2:
        return bits
    rates = np.maximum(outside, 1) / total
    a = likeliest_concentration(inside[inside > 0], rates[inside > 0])
    predicted = (inside[c] - own + a * rates[c]) / (inside.sum() - own + a)
    bits[known] = np.clip(np.log2(predicted / rates[c]), least, 6.0)
    return bits


def _predicted_quota(group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bits against an account that does many times the others' work, which a load balancer would not give it."""
    typical = np.median(group.calls[reference])
    spread = max(1.0, float(np.percentile(group.calls[reference], 90) / typical))
    return -np.clip(2.0 * np.log2(group.calls / (typical * spread)) - 2.0, 0.0, 8.0)


def _shares_value(t: Trait, who: NDArray[np.int64], reference: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float | None]:
    """Whether each account shares a value with another reference account, and how many outside accounts do."""
    codes = t.codes[who]
    known = codes != MISSING
    shown, c = np.unique(codes[known], return_inverse=True)
    inside = np.bincount(c[reference[known]], minlength=len(shown))
    shares = np.zeros(len(who), bool)
    shares[known] = inside[c] - reference[known] > 0
    outside = t.known - int(inside.sum())
    if outside < MIN_OTHERS:
        return shares, None
    return shares, float(((t.counts[shown] - inside)[inside > 0].sum() + 0.5) / (outside + 1.0))


def _shares_address(pop: Population, who: NDArray[np.int64], reference: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float | None]:
    position, codes = pop.addresses(who)
    from_reference = reference[position]
    shown, c = np.unique(codes, return_inverse=True)
    inside = np.bincount(c[from_reference], minlength=len(shown))
    hit = inside[c] - from_reference > 0
    shares = np.zeros(len(who), bool)
    shares[position[hit]] = True
    outside_accounts = len(pop.accounts) - int(reference.sum())
    if outside_accounts < MIN_OTHERS:
        return shares, None
    # Uses of the group's addresses by others, over the uses that one account makes of them: about how many others use any.
    uses = np.maximum(pop.address_counts[shown] - inside, 0)[inside > 0].sum()
    each = max(1.0, float((hit & from_reference).sum() / max(1, (shares & reference).sum())))
    return shares, float(min(0.9, (uses / each + 0.5) / (outside_accounts + 1.0)))


def score(pop: Population, group: Group, least: float = 0.0) -> Score:
    """Score a group of streams.

    Args:
        pop: the whole log's accounts.
        least: members are looked for only where the evidence has this many bits and two legs, for nothing else can pass.
        group: the streams; at least ``MIN_OWNERS`` owners and ``MIN_CALLS`` calls for anything to be found.
    """
    _, rep_at = np.unique(pop.owner[group.who], return_index=True)
    reps = group.who[rep_at]
    relation, explained = _relation(pop, reps)
    mail = max(
        (
            _assess("mail", "Mail domain", pop.mail_domain, reps, group.who),
            _assess("mail", "Pattern of the mail name", pop.mail_shape, reps, group.who),
        ),
        key=lambda f: (f.assessed, f.bits),
    )
    registration = max(
        (
            _assess("registration", "Day of registration", pop.signup_day, reps, group.who),
            _assess("registration", "Age of the account at its first call", pop.age, reps, group.who),
        ),
        key=lambda f: (f.assessed, f.bits),
    )
    findings = [
        _assess("payment", "Payment fingerprint", pop.payment, reps, group.who),
        mail,
        registration,
        _network(pop, reps, group.who) if group.pool is None else _CHOSEN,
        _quota(group, rep_at),
    ]
    findings = [Finding(f.id, 0.0, f"{f.text} Explained: {relation}.") if f.id in explained and f.bits > 0 else f for f in findings]
    calls, repeated = int(group.calls.sum()), int(group.repeated.sum())
    bits = max(REPEAT_FLOOR, slices_bits(repeated, calls))
    findings.append(Finding("slices", bits, f"Disjoint slices: {repeated} of {calls} calls have a text that another owner sent too."))

    total = sum(f.bits for f in findings)
    legs = sum(f.bits >= LEG for f in findings if f.id in OPERATOR)
    local = None
    if pop.partners and relation is None:
        findings.append(_partners(pop, reps))
        local = total
        if legs >= 1 and local >= LOCAL_FLOOR:
            total, legs = total + findings[-1].bits, legs + (findings[-1].bits >= LEG)
    # Who says openly whom he belongs to is not part of a hidden ring; his calls still count against its purity.
    hidden = ~pop.declared[group.who]
    member = hidden.copy()
    member_bits = np.zeros(len(group.who))
    worth = hidden.any() and total >= least and legs >= 2
    for _ in range(3 if worth else 0):
        member_bits = _membership(pop, group, member)
        kept = (member_bits >= MEMBER) & hidden
        if np.array_equal(kept, member):
            break
        member = kept
        if not kept.any():  # evidence, but nobody whom it is about: ordinary people among whom some of a ring are
            break
    owners_in = len(np.unique(pop.owner[group.who[member]]))
    # One busy outsider must not hide a ring, so nobody outside counts for more calls than the busiest member.
    inside = group.calls[member]
    outside = np.minimum(group.calls[~member], inside.max(initial=0))
    pure = (
        worth
        and owners_in >= max(MIN_OWNERS, PURITY * len(reps))
        and inside.sum() >= max(MIN_CALLS, PURITY * (inside.sum() + outside.sum()))
    )
    return Score(
        group=group,
        bits=total,
        findings=tuple(findings),
        relation=relation,
        member=member,
        member_bits=member_bits,
        legs=legs,
        pure=bool(pure),
        local=local,
        explained=explained,
    )
