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
from stillwatch.watch.intake import overlap
from stillwatch.watch.link.steps import Frame

#: Share of all calls above which one account is no customer.
MOST = 0.8
_BY_KEY = "The accounts file then needs the keys' hashes for ids: give such a one, or leave it out."
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
    """Join the log's accounts with the sign-up records and describe the population.

    Raises:
        IntakeError: not one account of the log is in the accounts file.
    """
    read.progress.enter("accounts")
    engine, raw = read.engine, read.calls
    activity = engine.fetch(link.activity(raw))
    one = _one_for_all(activity)
    if read.settings.accounts:
        met = overlap(activity.column("account").to_pylist(), read.accounts.column("account").to_pylist())
        why = f"{one.text} {_BY_KEY}" if one is not None else ""
        read.notices += [Notice("overlap", n) for n in met.check(read.settings.accounts, why=why)]
    accounts = _with_mail(read.accounts, engine.fetch(link.mail_of(raw)))
    addresses = engine.fetch(link.account_addresses(raw)).sort_by([("account", "ascending"), ("address_ref", "ascending")])
    if one is not None:
        read.notices.append(one)
    owners, joined = campaign.owners(activity, accounts, addresses)
    calls = engine.keep("calls", link.with_owner(raw, engine.keep("owners", owners)))
    by_harness = engine.fetch(link.streams(link.harness_calls(calls), HARNESS))
    pop = campaign.describe(joined, owners.column("owner").to_numpy(), addresses, by_harness)
    early = int((pop.first < pop.created).sum())
    if early:
        text = f"{count(early, 'account')} called before the time of sign-up on record: check the clocks"
        read.notices.append(Notice("clock", text))
    read.notices += unknown_fields(_unknown(pop), calls=int(pop.calls.sum()), accounts=len(pop.accounts))
    return People(read, calls, pop, joined, by_harness)


def _one_for_all(active: pa.Table) -> Notice | None:
    """What is said where one account with several API keys sends nearly everything: a proxy's default user, behind which customers cannot be told apart."""
    calls, keys = active.column("calls").to_numpy(), active.column("keys").to_numpy()
    if not len(calls) or calls.max() < MOST * calls.sum() or keys[calls.argmax()] < 2:
        return None
    share = float(calls.max() / calls.sum())
    return Notice(
        "one-account",
        f"one account with {int(keys[calls.argmax()]):,} API keys sends {int(calls.max()):,} of {int(calls.sum()):,} calls: probably the proxy's default user. "
        "Give each customer a user id, or take the API key for the account (--account-by-key).",
        share=share,
        of="calls",
        hides="Accounts behind one name cannot be compared.",
    )


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
