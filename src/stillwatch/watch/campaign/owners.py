"""Known relations: who says openly, and can show, whom he belongs to speaks with one voice.

A relation is bought like anything else, so each asks for something that costs: a verification, a mail domain of one's own, a home.  What the client or the
customer merely types (the name of a firm, the number of end users) is no relation, and what is not known proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

Row = dict[str, object]

#: Share of accounts that must be known to be verified before verification says anything of all.
CHECKED: Final = 0.8
#: Accounts of a household on one card, and of a small firm on one card and one domain.
HOUSEHOLD: Final = 8
FIRM: Final = 25
#: Payment account references that may stand beside one fingerprint: one, and one more for a slip of the export.
REFERENCES_OF_ONE_CARD: Final = 2


def owners(activity: pa.Table, accounts: pa.Table, addresses: pa.Table) -> tuple[pa.Table, list[Row]]:
    """Join the log's accounts with the sign-up records and name each account's owner.

    One voice and openly so (``relation``): the accounts of one organisation that are verified or have a mail domain to themselves; verified accounts that share
    one card and a mail domain which nobody else uses (a payer who says who he is); verified members of one institution who share its mail domain and its few
    addresses, each with a card of their own (a course on a campus).

    One voice only (no relation): a household (one card, one home) and a small firm (one card, one domain, nobody else on either).  What they share is shared
    in one house, so they count once; but nobody has checked them, so they may still be found.

    Args:
        activity: see ``link.activity``.
        accounts: rows of ``records.ACCOUNTS``; may be empty.
        addresses: account, address_ref (see ``link.account_addresses``).

    Returns:
        (table account, who, owner; a joined record per account, in order of ``who``; its ``relation`` says which tie, if any, its ``card`` which card pays).
    """
    records: dict[str, Row] = {r["account"]: r for r in accounts.to_pylist()}
    joined: list[Row] = []
    for r in sorted(activity.to_pylist(), key=lambda r: str(r["account"])):
        known = records.get(r["account"], {})
        seen = {k: r[k] for k in ("account", "calls", "first", "last", "end_users")}
        joined.append({**known, **seen, "org_ref": r["org_ref"] or known.get("org_ref")})
    _name_cards(joined)
    used: dict[str, set[str]] = {}
    for account, address in zip(addresses.column("account").to_pylist(), addresses.column("address_ref").to_pylist(), strict=True):
        used.setdefault(account, set()).add(address)
    users = Counter(a for mine in used.values() for a in mine)
    domains, cards = _by(joined, "mail_domain_ref"), _by(joined, "card")
    began = min((_number(r["first"]) for r in joined), default=0.0)
    organisations = {o for o, of in _by(joined, "org_ref").items() if _corroborated(of, domains)}
    payers = {c for c, of in cards.items() if _payer(of, domains)}
    campuses = {d for d, of in domains.items() if _institution(of, used, began)}
    houses = {c for c, of in cards.items() if _household(of, used, users) or _firm(of, domains)}
    codes: dict[str, int] = {}
    owner = []
    for r in joined:
        relation = ""
        if r["org_ref"] in organisations:
            name, relation = f"org:{r['org_ref']}", "organisation"
        elif r["card"] in payers:
            name, relation = f"payer:{r['card']}", "payer"
        elif r.get("mail_domain_ref") in campuses and r.get("verified") is True:
            name, relation = f"institution:{r['mail_domain_ref']}", "institution"
        elif r["card"] in houses:
            name = f"house:{r['card']}"
        else:
            name = f"account:{r['account']}"
        r["relation"] = relation
        owner.append(codes.setdefault(name, len(codes)))
    table = pa.table({"account": [str(r["account"]) for r in joined], "who": np.arange(len(joined)), "owner": np.array(owner, np.int64)})
    return table, joined


def _name_cards(joined: list[Row]) -> None:
    """Give every record a ``card``, None where unknown: equal where the processor's fingerprint or the payment account reference is equal, also through others.

    A processor's fingerprint of one card differs from one merchant account to the next, and a card that is issued anew keeps only its reference; so either
    joins.  A fingerprint beside many references is no card's (a default, or the name of a brand) and joins nothing.
    """
    beside: dict[object, set[object]] = {}
    for r in joined:
        if r.get("payment_ref") and r.get("par_ref"):
            beside.setdefault(r["payment_ref"], set()).add(r["par_ref"])
    parent: dict[object, object] = {}

    def root(value: object) -> object:
        while (above := parent.setdefault(value, value)) != value:
            parent[value] = value = parent[above]
        return value

    for r in joined:
        r["card"] = r.get("payment_ref") or r.get("par_ref")
        if r.get("par_ref") and len(beside.get(r.get("payment_ref"), ())) > REFERENCES_OF_ONE_CARD:
            r["card"] = r["par_ref"]
        elif r.get("par_ref") and r.get("payment_ref"):
            one, other = sorted((root(r["payment_ref"]), root(r["par_ref"])), key=str)
            parent[other] = one
    for r in joined:
        r["card"] = root(r["card"]) if r["card"] else None


def _number(value: object) -> float:
    return float(str(value))


def _by(joined: Iterable[Row], field: str) -> dict[object, list[Row]]:
    out: dict[object, list[Row]] = {}
    for r in joined:
        if r.get(field):
            out.setdefault(r[field], []).append(r)
    return out


def _verified(of: Sequence[Row], least: float) -> bool:
    """Whether verification is known of enough of them and says yes of at least that share; unknown says nothing."""
    known = [r["verified"] for r in of if r.get("verified") is not None]
    return len(known) >= CHECKED * len(of) and sum(bool(v) for v in known) >= least * len(known)


def _only(of: Sequence[Row], domains: Mapping[object, list[Row]]) -> bool:
    """Whether they all use one mail domain, and nobody else does."""
    named = {r.get("mail_domain_ref") for r in of}
    return len(named) == 1 and None not in named and len(domains.get(named.pop(), ())) == len(of)


def _corroborated(of: Sequence[Row], domains: Mapping[object, list[Row]]) -> bool:
    """An organisation of several accounts that somebody has verified, or that has a mail domain to itself."""
    return len(of) > 1 and (_verified(of, 1.0) or _only(of, domains))


def _payer(of: Sequence[Row], domains: Mapping[object, list[Row]]) -> bool:
    return len(of) > 1 and _verified(of, 1.0) and _only(of, domains)


def _firm(of: Sequence[Row], domains: Mapping[object, list[Row]]) -> bool:
    return 1 < len(of) <= FIRM and _only(of, domains)


def _household(of: Sequence[Row], used: Mapping[str, set[str]], users: Mapping[str, int]) -> bool:
    """A few accounts on one card that share a home: most call from an address that another of them uses and nobody else does."""
    if not 1 < len(of) <= HOUSEHOLD:
        return False
    mine = Counter(a for r in of for a in used.get(str(r["account"]), ()))
    homes = {a for a, n in mine.items() if n > 1 and users[a] == n}
    return sum(bool(homes & used.get(str(r["account"]), set())) for r in of) >= CHECKED * len(of)


def _institution(of: Sequence[Row], used: Mapping[str, set[str]], began: float) -> bool:
    """Verified members of one mail domain who call from few addresses between them and pay each for himself, at a domain known before the log begins."""
    cards = [r["card"] for r in of if r["card"]]
    if len(of) < 5 or not _verified(of, 0.95) or len(cards) < CHECKED * len(of) or len(set(cards)) < 0.9 * len(cards):
        return False
    made = [_number(r["created_at"]) for r in of if r.get("created_at") is not None]
    if not made or min(made) >= began:
        return False
    tally = Counter(a for r in of for a in used.get(str(r["account"]), ()))
    few = {a for a, _ in tally.most_common(max(3, len(of) // 10))}
    there = sum(bool(few & used.get(str(r["account"]), set())) for r in of)
    return there >= 0.8 * len(of) and max(tally.values(), default=0) > 1
