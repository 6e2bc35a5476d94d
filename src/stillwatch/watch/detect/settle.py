"""Second stage: who the accounts are, and what this lab's customers are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stillwatch.records import ACCOUNTS, Notice
from stillwatch.watch import campaign, link
from stillwatch.watch.detect.read import Read
from stillwatch.watch.evidence import unknown_fields
from stillwatch.watch.evidence.words import count
from stillwatch.watch.link.steps import Frame

HARNESS = ["client", "system", "tools"]


@dataclass(slots=True)
class People:
    """The population of a log; ``calls`` name its accounts by number (``who``, ``owner``)."""

    read: Read
    calls: Frame
    pop: campaign.Population
    joined: Sequence[Mapping[str, object]]  # the record of each account, in order of ``who``
    by_harness: pa.Table  # streams by client, system prompt and tools


def settle(read: Read) -> People:
    """Join the log's accounts with the sign-up records and describe the population."""
    read.progress.enter("accounts")
    engine, raw = read.engine, read.calls
    accounts = _with_mail(read.accounts, engine.fetch(link.mail_of(raw)))
    addresses = engine.fetch(link.account_addresses(raw)).sort_by([("account", "ascending"), ("address_ref", "ascending")])
    owners, joined = campaign.owners(engine.fetch(link.activity(raw)), accounts, addresses)
    calls = engine.keep("calls", link.with_owner(raw, engine.keep("owners", owners)))
    by_harness = engine.fetch(link.streams(link.harness_calls(calls), HARNESS))
    pop = campaign.describe(joined, owners.column("owner").to_numpy(), addresses, by_harness)
    early = int((pop.first < pop.created).sum())
    if early:
        text = f"{count(early, 'account')} called before the time of sign-up on record: check the clocks"
        read.notices.append(Notice("clock", text))
    read.notices += unknown_fields(_unknown(pop), calls=int(pop.calls.sum()), accounts=len(pop.accounts))
    return People(read, calls, pop, joined, by_harness)


def _unknown(pop: campaign.Population) -> dict[str, int]:
    """Of how many accounts each field is unknown."""
    somewhere = np.unique(pop.addresses(np.arange(len(pop.accounts)))[0])
    return {
        "payment": int((pop.payment.codes < 0).sum()),
        "mail": int((pop.mail_domain.codes < 0).sum()),
        "registration": int(np.isnan(pop.created).sum()),
        "network": len(pop.accounts) - len(somewhere),
        "verification": int((pop.verified < 0).sum()),
    }


def _with_mail(accounts: pa.Table, mail: pa.Table) -> pa.Table:
    """Fill in the mail traits that only the log knows; of several addresses the first one used."""
    rows = {r["account"]: r for r in accounts.to_pylist()}
    for seen in sorted(mail.to_pylist(), key=lambda r: (r["first"], r["mail_ref"])):
        row = rows.setdefault(seen["account"], {"account": seen["account"]})
        if not row.get("mail_ref"):
            row.update({k: seen[k] for k in ("mail_ref", "mail_domain_ref", "mail_shape")})
    return pa.Table.from_pylist(list(rows.values()), schema=ACCOUNTS)
