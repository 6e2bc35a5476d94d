"""Score one group of streams: is it one hand?  Evidence by class, and who belongs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes import LOCAL, MIN_OTHERS, PARTNERS, Finding, Group
from stillwatch.watch.campaign.classes.network import at_one_place, is_office, rotates
from stillwatch.watch.campaign.classes.slices import slices
from stillwatch.watch.campaign.classes.traits import predicted
from stillwatch.watch.campaign.population import MISSING, Population

#: All classes that an occasion alone can earn (a launch, a class, an app, a town) count together for this much at most.
OCCASION_CAP: Final = 8.0
#: A class with at least this many bits counts as a leg to stand on.
LEG: Final = 3.0
#: Members' share of a group's calls and owners below which the group is mixed traffic, where no class that convicts picks them out of it.
PURITY: Final = 0.6
MIN_OWNERS: Final = 3
MIN_CALLS: Final = 8
#: Bits an account's own traits must have for it to belong: to look like everybody else is not enough.
MEMBER: Final = 3.0
#: Local bits without which no word of partners counts (rule R02).
LOCAL_FLOOR: Final = 2.5
#: A crowd that nothing convicts must have so many owners before several causes together may.
MIN_CROWD: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A group's evidence of one hand; ``member`` and ``member_bits`` run over ``group.who``.

    ``convicting`` are the bits of the classes that may convict, ``occasion`` those of the classes that only rank, capped.  ``local`` is what the lab's own
    evidence has beside partners' word, None where nobody was asked.  ``pool``: the members draw
    addresses anew from a pool that they share; ``place``: one address serves most of them, or an office's few do.  ``openly``: most accounts of the group
    say, and can show, whom they belong to.
    """

    group: Group
    findings: tuple[Finding, ...]
    convicting: float
    occasion: float
    member: NDArray[np.bool_]
    member_bits: NDArray[np.float64]
    owners: int = 0  # of the members
    pure: bool = False
    local: float | None = None
    pool: bool = False
    place: bool = False
    openly: bool = False

    @property
    def bits(self) -> float:
        """All that speaks for one hand.  Cards of one's own are a few dollars each, so they do not take away what else there is."""
        return max(0.0, self.convicting) + max(0.0, self.occasion)

    def of(self, ident: str) -> Finding:
        """The finding of a class."""
        return next(f for f in self.findings if f.id == ident)

    def weight(self, ident: str) -> float:
        """Bits of a class; 0 where it was not asked."""
        return next((f.bits for f in self.findings if f.id == ident), 0.0)

    def stands(self, threshold: float) -> bool:
        """Whether classes that may convict carry it past the threshold alone."""
        return self.convicting >= threshold and self.owners >= MIN_OWNERS

    def together(self, threshold: float) -> bool:
        """Whether it passes with partners' word beside evidence of one's own (rule R02)."""
        own = self.local is not None and self.local >= LOCAL_FLOOR
        return own and self.bits >= threshold and self.pure and self.weight("partners") >= LEG

    def came_together(self) -> bool:
        """Whether these accounts signed up alike and share addresses, which an occasion explains too."""
        arrival = max(self.weight("mail"), self.weight("registration")) >= LEG
        alike = self.group.family is not None or len(self.group.key) >= 3  # a pool alone holds its accounts' camouflage too
        shared = self.weight("network") >= LEG or "network" in self.group.chosen
        return alike and arrival and shared and self.pure and self.owners >= MIN_CROWD

    def crowd(self) -> bool:
        """Whether they came together and call from one pool: what an occasion explains, unless nothing they do is their own."""
        return self.pool and self.came_together()

    def possible(self, threshold: float) -> bool:
        """Whether it can be a campaign at this threshold, once its members' texts have been looked at."""
        return self.stands(threshold) or self.together(threshold) or self.crowd()

    def suspicious(self) -> bool:
        """Whether it is worth asking partners about: disjoint work, and some evidence of one hand."""
        legs = sum(f.bits >= LEG for f in self.findings if f.question == "hand")
        return self.of("slices").bits >= 0 and legs >= 1


def together(bits: Sequence[float]) -> float:
    """Bits of classes that may convict, any of them alone or several: the mean of the e-values of every choice of them, which is an e-value where they are
    independent.  So what one class says against takes little from another: an operator may buy cards and still be heard by his echo.
    """
    if not bits:
        return 0.0
    sums = [sum(b for at, b in enumerate(bits) if choice >> at & 1) for choice in range(1, 1 << len(bits))]
    top = max(sums)
    return top + math.log2(sum(2.0 ** (x - top) for x in sums) / len(sums))


def score(pop: Population, group: Group, least: float = 0.0) -> Score:
    """Score a group of streams.

    Args:
        pop: the whole log's accounts.
        group: the streams; at least ``MIN_OWNERS`` owners and ``MIN_CALLS`` calls for anything to be found.
        least: members are looked for only where the evidence can reach this many bits, for nothing else can pass.
    """
    _, reps = np.unique(pop.owner[group.who], return_index=True)
    findings = [c.finding(pop, group, reps) for c in LOCAL]
    convicting = together([f.bits for f, c in zip(findings, LOCAL, strict=True) if c.convicts and f.assessed])
    ranking = sum(f.bits for f, c in zip(findings, LOCAL, strict=True) if not c.convicts)
    occasion = min(OCCASION_CAP, ranking)
    local = None
    if pop.partners:
        word = PARTNERS.finding(pop, group, reps)
        findings.append(word)
        if at_one_place(pop, group.who[reps]):
            # One address that most of them use is a place where people met; that they came together, and from there, is then no word beside partners'.
            occasion = min(OCCASION_CAP, sum(f.bits for f in findings if f.id in ("mail", "quota")))
        local = max(0.0, convicting) + max(0.0, occasion)
        if local >= LOCAL_FLOOR:
            convicting = max(0.0, convicting) + word.bits
    findings.append(slices(group))
    # Who says openly whom he belongs to is not part of a hidden ring; his calls still count against its purity.
    hidden = ~pop.declared[group.who]
    member = hidden.copy()
    member_bits = np.zeros(len(group.who))
    worth = bool(hidden.any()) and (convicting >= least or convicting + max(0.0, ranking) >= least)
    for _ in range(3 if worth else 0):
        member_bits = membership(pop, group, member)
        kept = (member_bits >= MEMBER) & hidden
        if np.array_equal(kept, member):
            break
        member = kept
        if not kept.any():  # evidence, but nobody whom it is about: ordinary people among whom some of a ring are
            break
    owners = len(np.unique(pop.owner[group.who[member]])) if worth else 0
    # One busy outsider must not hide a ring, so nobody outside counts for more calls than the busiest member.
    inside = group.calls[member]
    outside = np.minimum(group.calls[~member], inside.max(initial=0))
    pure = (
        worth and owners >= max(MIN_OWNERS, PURITY * len(reps)) and inside.sum() >= max(MIN_CALLS, PURITY * (inside.sum() + outside.sum()))
    )
    shared = next(f for f in findings if f.id == "network")
    inside_of = group.who[member] if worth else group.who[:0]
    return Score(
        group=group,
        findings=tuple(findings),
        convicting=convicting,
        occasion=occasion,
        member=member,
        member_bits=member_bits,
        owners=owners,
        pure=bool(pure),
        local=local,
        pool=(shared.bits >= LEG or "network" in group.chosen) and rotates(*pop.uses(inside_of)),
        place=at_one_place(pop, inside_of) or is_office(pop, inside_of),
        openly=2 * int(hidden.sum()) < len(hidden),
    )


def membership(pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[who] bits for each account belonging to the ``reference`` accounts, leave-one-out, against being a customer like the others."""
    who, n_in = group.who, int(reference.sum())
    if not n_in:
        return np.zeros(len(who))
    bits = np.zeros(len(who))
    for c in (*LOCAL, *((PARTNERS,) if pop.partners else ())):
        bits += c.membership(pop, group, reference)
    # A ring may recruit late or buy an old account, but its harness does not change from account to account.  That others use the same tool says nothing.
    client = np.array([pop.client_codes.get(c, MISSING) for c in group.clients.tolist()], np.int64)
    bits += np.minimum(0.0, predicted(pop.client, client, reference, -3.0))
    verified = pop.verified[who]
    ours = pop.verified[who[reference]]
    others_known = pop.verified_known[0] - int((ours >= 0).sum())
    if others_known >= MIN_OTHERS and (verified >= 0).all():
        others_verified = pop.verified_known[1] - int((ours == 1).sum())
        rate_in = (verified[reference].mean() * n_in + 0.5) / (n_in + 1)
        rate_out = (others_verified + 0.5) / (others_known + 1)
        bits += np.where(verified == 1, np.log2(rate_in / rate_out), np.log2((1 - rate_in) / (1 - rate_out)))
    return bits
