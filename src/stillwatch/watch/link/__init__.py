"""Sketches + accounts -> families and streams.  Relational steps are narwhals lazy expressions; nothing here runs or stores them."""

from stillwatch.watch.link.echo import echoes, quotes
from stillwatch.watch.link.families import group_prints
from stillwatch.watch.link.steps import (
    account_addresses,
    activity,
    call_families,
    duplicates,
    family_calls,
    family_spread,
    first_of_duplicates,
    harness_calls,
    mail_of,
    print_calls,
    recurring,
    sampled,
    streams,
    with_owner,
)

__all__ = [
    "account_addresses",
    "activity",
    "call_families",
    "duplicates",
    "echoes",
    "family_calls",
    "family_spread",
    "first_of_duplicates",
    "group_prints",
    "harness_calls",
    "mail_of",
    "print_calls",
    "quotes",
    "recurring",
    "sampled",
    "streams",
    "with_owner",
]
