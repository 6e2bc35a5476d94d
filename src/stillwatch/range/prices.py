"""What an adversary pays, in dollars: a public price or an assumption for each item, and a ring's bill."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from stillwatch.range.ring import Ring


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Prices in dollars; ``BASIS`` says where each comes from.  To be replaced by what a reader's market shows."""

    account: float = 0.5
    verified_account: float = 8.5
    aged_account: float = 2.0  # on top
    card: float = 2.0
    address: float = 0.3  # a shared proxy address for the length of the world
    home: float = 3.0  # an address of one's own for a month
    vpn: float = 0.5  # an account's share of a subscription for a month
    gigabyte: float = 0.89
    domain: float = 12.0
    stolen_key: float = 30.0
    wording: float = 0.1  # 1,000 rewordings of a prompt
    reworded_answers: float = 0.3  # 1,000 answers in other words
    calls: float = 5.0  # 1,000 calls, harvest and camouflage alike


#: Where the prices come from; looked up in November 2026.
BASIS: Final[dict[str, str]] = {
    "account": "mailbox and SMS code; typically 50 cents a code, 8 to 26 in the cheapest countries (Cambridge Online Trust and Safety Index, cotsi.org)",
    "verified_account": "the account and a person who shows papers, from 8 dollars (CertiK on KYC actors)",
    "aged_account": "assumption: what a seller asks for having waited three months",
    "card": "a virtual card, 1 dollar to make and 1 to load (Bitnob's fee schedule, 2025)",
    "address": "assumption",
    "home": "assumption; static residential addresses are sold by address and month (Swiftproxy, Proxynade)",
    "vpn": "assumption: 5 dollars a month for ten devices",
    "gigabyte": "residential traffic, 0.89 to 5 dollars (Proxynade, June 2026); an exchange is counted as 12 kB",
    "domain": "assumption: a year of a name",
    "stolen_key": "assumption",
    "wording": "assumption: 250 tokens at 0.4 dollars a million",
    "reworded_answers": "assumption: 750 tokens at 0.4 dollars a million",
    "calls": "assumption: a tenth of a list price of 50 dollars for 1,000 long answers, as grey markets ask",
}
_KILOBYTES: Final = 12
_OLD: Final = 60.0


def bill(ring: Ring, prices: Prices, days: float) -> dict[str, float]:
    """Dollars by item for running ``ring`` over ``days``; "harvest" is the calls themselves, everything else is what it takes to have accounts."""
    n, months, exchanges = ring.accounts, max(1.0, days / 30), ring.accounts * ring.calls
    bought = n * (1 - ring.stolen)
    out = {
        "accounts": bought * (ring.verified * prices.verified_account + (1 - ring.verified) * prices.account),
        "stolen keys": n * ring.stolen * prices.stolen_key,
        "age": bought * prices.aged_account * (ring.age_days >= _OLD),
        "cards": math.ceil(bought / ring.accounts_per_card) * prices.card,
        "mail": {"firm": math.ceil(n / ring.firm), "college": 1, "catch-all": 1}.get(ring.mail, 0) * prices.domain,
        "traffic": exchanges * (1 + ring.camouflage + ring.follow_ups) * _KILOBYTES / 1e6 * prices.gigabyte,
        "wording": (n if ring.wording == "account" else 0) * prices.wording / 1000,
        "reworded answers": (exchanges * ring.launder if ring.stages else 0) * prices.reworded_answers / 1000,
        "ordinary calls": exchanges * (ring.camouflage + ring.follow_ups) * prices.calls / 1000,
        "items sent twice": exchanges * ring.overlap * prices.calls / 1000,
        "harvest": exchanges * prices.calls / 1000,
    }
    if ring.behind:
        out["addresses"] = n * prices.vpn * months
    elif ring.pool_kind == "own":
        out["addresses"] = 1.5 * math.ceil(n / ring.home) * prices.home * months
    else:
        out["addresses"] = ring.pool * prices.address
    return {item: dollars for item, dollars in out.items() if dollars}


def usable(ring: Ring) -> float:
    """Exchanges that the ring can use: an item that was sent twice counts once."""
    return ring.accounts * ring.calls / (1 + ring.overlap)
