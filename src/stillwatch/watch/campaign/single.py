"""One account that harvests alone, told apart from an honest batch job.

The grounds, each a p-value against the log's other accounts that are in no ring, turned into an e-value: the account is new when it starts; it does
very much in its first two days; nobody verified it; and its prompts ask for training material (tasks, judgements, rationales) rather than for work
on records of its own.  An honest batch job fails them because it has an owner who says who he is, an account that is older than the job, a ramp-up,
and prompts about its own data.  A group's legs do not exist here, so the content must speak: without it there is no finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes import MIN_OTHERS, Finding
from stillwatch.watch.campaign.population import DAY, Population

#: Calls of one family that a lone account must have sent to be looked at.
MIN_CALLS_ALONE: Final = 50
#: Share of its calls that are of the family, and share of those that are different texts.
FAMILY_SHARE: Final = 0.8
DISTINCT: Final = 0.9
#: Marks that ask for training material.
HARVEST_MARKS: Final = ("D12", "D16", "D17", "D18", "D19")


@dataclass(frozen=True, slots=True)
class Lone:
    """A lone account's stream of one family."""

    who: int
    family: int
    calls: int
    texts: int


def e_bits(p: float) -> float:
    """log2 of the calibrated e-value (1 - p + p ln p) / (p ln(p)^2) (Vovk & Wang 2021, section 2)."""
    if p >= 1.0:
        return -1.0
    log = np.log(p)
    return float(np.log2((1 - p + p * log) / (p * log * log)))


def lone_streams(by_family: pa.Table) -> list[Lone]:
    """The streams of one family and account that are large enough to be looked at alone; ``by_family``: see ``link.streams``."""
    merged = by_family.group_by(["family", "who"]).aggregate([("calls", "sum"), ("texts", "sum")])
    large = merged.filter(pc.greater_equal(merged.column("calls_sum"), MIN_CALLS_ALONE))
    return [Lone(r["who"], r["family"], r["calls_sum"], r["texts_sum"]) for r in large.to_pylist()]


def candidates(lones: Sequence[Lone], pop: Population) -> list[Lone]:
    """The streams worth looking at: large, of one family, all different, of an account that names no owner; the largest per account."""
    best: dict[int, Lone] = {}
    for s in sorted(lones, key=lambda s: (s.calls, s.family)):
        # End users are the client's own word, so they count only with a customer who was verified.
        if pop.relation[s.who] or (pop.end_users[s.who] > 5 and pop.verified[s.who] == 1):
            continue
        if s.calls >= MIN_CALLS_ALONE and s.calls >= FAMILY_SHARE * pop.calls[s.who] and s.texts >= DISTINCT * s.calls:
            best[s.who] = s
    return [best[w] for w in sorted(best)]


def _tail(value: float, others: NDArray[np.float64], *, small: bool) -> float | None:
    known = others[~np.isnan(others)]
    if np.isnan(value) or len(known) < MIN_OTHERS:
        return None
    extreme = int((known <= value).sum() if small else (known >= value).sum())
    return (extreme + 1) / (len(known) + 1)


def assess(
    s: Lone, pop: Population, ringed: set[int], early_calls: NDArray[np.int64], shown: dict[str, float], usual: dict[str, float]
) -> tuple[Finding, ...]:
    """The findings on a lone account.

    Args:
        early_calls: [accounts] calls within two days of the account's creation (or first call, where that is unknown).
        shown: share of a sample of its prompts with each mark.
        usual: share of accounts outside rings whose sampled prompt shows the mark.
    """
    outside = np.ones(len(pop.accounts), bool)
    outside[[*ringed, s.who]] = False
    others = np.flatnonzero(outside)
    age = (pop.first - pop.created) / DAY
    out = []
    p = _tail(float(age[s.who]), age[others], small=True)
    if p is None:
        out.append(Finding("registration", 0.0, "Age of the account at its first call: not assessed, not known.", assessed=False))
    else:
        out.append(
            Finding(
                "registration",
                e_bits(p),
                f"The account was {max(age[s.who], 0) * 24:.1f} hours old at its first call; {p:.1%} of accounts start as young.",
            )
        )
    p = _tail(float(early_calls[s.who]), early_calls[others].astype(float), small=False)
    if p is not None:
        # Who signs up for a job of work starts at once: age and ramp have one cause, so they count as the mean of their e-values and not as the product.
        new = out[0].bits if out[0].assessed else None
        bits = e_bits(p) if new is None else float(np.logaddexp2(new, e_bits(p))) - 1.0 - new
        text = f"No ramp-up: {int(early_calls[s.who])} calls in its first two days; {p:.1%} of accounts do as much."
        out.append(Finding("ramp", bits, text if new is None else f"{text}  Age and ramp have one cause and count together as one."))
    checked = pop.verified[others][pop.verified[others] >= 0]
    if pop.verified[s.who] < 0 or len(checked) < MIN_OTHERS:
        out.append(Finding("verified", 0.0, "Verification: not assessed, not known.", assessed=False))
    else:
        rate = ((checked == pop.verified[s.who]).sum() + 1) / (len(checked) + 1)
        text = "Nobody has verified the account" if pop.verified[s.who] == 0 else "The account is verified, which speaks against"
        # Of harvesting accounts nine in ten are taken to be unverified: the one rate here that no log can give.
        out.append(
            Finding(
                "verified", float(np.log2((0.9 if pop.verified[s.who] == 0 else 0.1) / rate)), f"{text}; {rate:.0%} of accounts are alike."
            )
        )
    best = max(HARVEST_MARKS, key=lambda k: (shown.get(k, 0.0) / max(usual.get(k, 0.0), 1e-3), k))
    share, base = shown.get(best, 0.0), max(usual.get(best, 0.0), 1 / (len(others) + 1))
    bits = float(np.log2(share / base)) if share >= 0.5 else -10.0
    out.append(
        Finding(
            "content",
            min(10.0, bits),
            f"{share:.0%} of its sampled prompts ask for training material ({best}); {base:.1%} of other accounts' do.",
        )
    )
    return tuple(out)
