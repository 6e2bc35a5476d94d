"""The traits of a campaign's accounts that are blinded for matching, from the sign-up records."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from stillwatch.share.desk.desk import DeskError
from stillwatch.watch.intake import Identity, Quarantine, canonical, clear_values, load_or_create_key
from stillwatch.watch.intake.identity import KEY_BYTES


def payment_traits(fingerprint: str | None, reference: str | None) -> frozenset[str]:
    """Canonical values of kind ``payment``: a processor's fingerprint meets only where labs share the processor's account, a payment account reference
    everywhere."""
    found = {canonical(fingerprint)} if fingerprint else set()
    return frozenset(found | ({f"par {canonical(reference)}"} if reference else set()))


def traits_of(
    accounts: Path, wanted: Collection[str], key: Path, columns: Mapping[str, str] | None = None
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Canonical values by kind of trait, of the accounts of a campaign only; and notices.

    Values are brought to one form (NFKC, folded, no outer blanks), for labs must come to the same bytes.  Mail domains count only where at least two of the
    accounts share one, so that no single person's provider is matched.

    Args:
        accounts: the sign-up records, as ``detect`` reads them.
        wanted: accounts as ``detect`` names them.
        key: the identity key of that run; needed where accounts are mail addresses, which only it can tell.
        columns: known column -> what the file calls it.

    Raises:
        IntakeError: the file cannot be read, or has none of the accounts.
        DeskError: the key is needed and not there, or there is nothing to send.
    """
    if key.exists():
        identity = Identity(load_or_create_key(key))
    elif any(a.startswith("m-") for a in wanted):
        raise DeskError(f"{key}: not there, and some accounts are mail addresses; name with --key the identity key that detect used")
    else:
        identity = Identity(secrets.token_bytes(KEY_BYTES))  # no reference is compared with one of another run
    found, report = clear_values(accounts, identity, Quarantine.memory(), wanted, columns)
    payment = frozenset().union(*(payment_traits(r.payment, r.par) for r in found))
    domains = Counter(canonical(r.email.rpartition("@")[2]) for r in found if r.email and "@" in r.email)
    values = {"payment": sorted(payment), "registration": sorted(f"domain {d}" for d, n in domains.items() if n > 1)}
    if not any(values.values()):
        raise DeskError(
            f"{accounts}: nothing to send: {len(found)} of the campaign's {len(wanted)} accounts are there, none with a card, no two with one mail domain"
            + "".join(f"; {n}" for n in report.notices)
        )
    return values, report.notices
