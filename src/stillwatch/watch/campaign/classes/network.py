"""Network: addresses that several of the accounts called from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stillwatch.watch.campaign.classes.base import CLASS_CAP, MIN_OTHERS, Finding, Group, shares
from stillwatch.watch.campaign.population import DAY, Population
from stillwatch.watch.campaign.urn import urn_of_codes

#: Addresses of an account from which on it may be a program that draws them.
ADDRESSES: Final = 10
#: Share of accounts on one address from which on it is a place.
PLACE: Final = 0.5
#: An office: so many addresses at most serve this share of its accounts, and this share of them has its mail domain.
ROOMS: Final = 4
SERVED: Final = 0.75
OWN: Final = 0.5
_CHOSEN: Final = Finding(
    "network", 0.0, "Shared internet addresses: they chose these accounts, so they are not counted as evidence again.", assessed=False
)


@dataclass(frozen=True, slots=True)
class Network:
    """Shared addresses.  Ranks only: a campus, an office, a carrier and a VPN share them too."""

    id: str = "network"
    convicts: bool = False
    techniques: tuple[str, ...] = ("D04",)

    def finding(self, pop: Population, group: Group, reps: NDArray[np.intp]) -> Finding:
        """The urn's bits of the addresses of one account for each owner."""
        if "network" in group.chosen:
            return _CHOSEN
        what = "Shared internet addresses"
        if _firms(pop, group.who[reps]):
            return Finding(
                self.id, 0.0, f"{what}: verified firms of long standing under one roof, each with a mail domain and a card of its own."
            )
        _, codes = pop.addresses(group.who[reps])
        _, everybody = pop.addresses(group.who)
        if len(codes) < 2 or pop.address_uses - len(everybody) < MIN_OTHERS:
            return Finding(self.id, 0.0, f"{what}: not assessed, too few addresses in the log.", assessed=False)
        bits, distinct, shared = urn_of_codes(codes, everybody, pop.address_counts, pop.address_uses)
        text = f"{what}: {shared} of the {distinct} addresses they called from served more than one of these accounts."
        return Finding(self.id, min(CLASS_CAP, float(bits)), text, cap=CLASS_CAP)

    def membership(self, pop: Population, group: Group, reference: NDArray[np.bool_]) -> NDArray[np.float64]:
        """By whether an account shares an address with another of the reference."""
        who, n_in = group.who, int(reference.sum())
        position, codes = pop.addresses(who)
        of_reference = reference[position]
        shown, c = np.unique(codes, return_inverse=True)
        inside = np.bincount(c[of_reference], minlength=len(shown))
        hit = inside[c] - of_reference > 0
        sharing = np.zeros(len(who), bool)
        sharing[position[hit]] = True
        outside = len(pop.accounts) - n_in
        if outside < MIN_OTHERS:
            return np.zeros(len(who))
        # Uses of the group's addresses by others, over the uses that one account makes of them: about how many others use any.
        uses = np.maximum(pop.address_counts[shown] - inside, 0)[inside > 0].sum()
        each = max(1.0, float((hit & of_reference).sum() / max(1, (sharing & reference).sum())))
        base = float(min(0.9, (uses / each + 0.5) / (outside + 1.0)))
        others = (sharing[reference].sum() - (sharing & reference) + 0.5) / (n_in - reference + 1.0)
        return shares(np.zeros(len(who)), sharing, others, base)

    def shown(self, pop: Population, who: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Accounts that used the commonest address."""
        at, codes = pop.addresses(who)
        out = np.ones(len(who), bool)
        if len(codes):
            out[:] = False
            out[at[codes == np.bincount(codes).argmax()]] = True
        return out


def _firms(pop: Population, who: NDArray[np.int64]) -> bool:
    """Whether all are verified, older than a month at their first call, and have a mail domain and a card that nobody else has."""
    domains, cards = pop.mail_domain.codes[who], pop.payment.codes[who]
    if not ((pop.verified[who] == 1).all() and (domains >= 0).all() and (cards >= 0).all()):
        return False
    own = (pop.mail_domain.counts[domains] == 1).all() and (pop.payment.counts[cards] == 1).all()
    return bool(own and (pop.created[who] < pop.first[who] - 30 * DAY).all())


def at_one_place(pop: Population, who: NDArray[np.int64]) -> bool:
    """Whether one address serves more than ``PLACE`` of the accounts and most of them have few others: an office, a campus, a carrier, and no pool."""
    at, codes = pop.addresses(who)
    if not len(codes):
        return False
    return bool(
        np.unique(codes, return_counts=True)[1].max() > PLACE * len(who) and np.median(np.bincount(at, minlength=len(who))) < ADDRESSES
    )


def is_office(pop: Population, who: NDArray[np.int64]) -> bool:
    """Whether half of the accounts share a mail domain that hardly anybody else has, and a few addresses serve most of them: an office that nobody verified."""
    domains = pop.mail_domain.codes[who]
    known = domains[domains >= 0]
    if not len(known):
        return False
    own = int(np.bincount(known).argmax())
    mine = int((known == own).sum())
    if mine < OWN * len(who) or pop.mail_domain.counts[own] > 2 * mine:
        return False
    at, codes = pop.addresses(who)
    often = np.bincount(codes) if len(codes) else np.zeros(0, np.int64)
    rooms = np.argsort(-often, kind="stable")[:ROOMS]
    served = len(np.unique(at[np.isin(codes, rooms)]))
    return served >= SERVED * len(who) and bool(np.median(np.bincount(at, minlength=len(who))) < ADDRESSES)


def rotates(addresses: NDArray[np.int64], calls: NDArray[np.int64]) -> bool:
    """Whether most of the accounts call from a new address nearly every time: at least ``ADDRESSES`` of them, and one for every second call.

    People behind a VPN or a carrier have a few; a proxy pool that a program draws from has none that comes back.

    Args:
        addresses: [accounts] distinct addresses of each.
        calls: [accounts] calls of each.
    """
    if not len(calls):
        return False
    return bool(np.median(addresses) >= ADDRESSES and np.median(addresses / np.maximum(calls, 1)) >= 0.5)
