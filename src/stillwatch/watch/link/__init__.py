"""Sketches + accounts -> families and streams.  Relational steps are narwhals lazy expressions; nothing here runs or stores them."""

from stillwatch.watch.link.echo import answered, echoes, quotes
from stillwatch.watch.link.families import group_prints
from stillwatch.watch.link.steps import (
    account_addresses,
    activity,
    call_families,
    duplicates,
    family_calls,
    family_spread,
    harness_calls,
    known,
    loose_keys,
    mail_of,
    print_calls,
    recurring,
    repeats,
    sampled,
    streams,
    unanswered_keys,
    with_owner,
    with_users,
)

__all__ = [
    "account_addresses",
    "activity",
    "answered",
    "call_families",
    "duplicates",
    "echoes",
    "family_calls",
    "family_spread",
    "group_prints",
    "harness_calls",
    "known",
    "loose_keys",
    "mail_of",
    "print_calls",
    "quotes",
    "recurring",
    "repeats",
    "sampled",
    "streams",
    "unanswered_keys",
    "with_owner",
    "with_users",
]
