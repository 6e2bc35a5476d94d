"""The kinds of crowds and how far each of their parameters may go; a crowd that does not fix a parameter draws it within its kind's range.

The ranges are the range's own choice, wide on purpose: a defence that learned one value of them has learned the composer.
"""

from __future__ import annotations

import math
from random import Random
from typing import Final, TypeAlias

import msgspec


class Crowd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One crowd.  A parameter that is left out is drawn; counts are whole numbers, ``fresh`` to ``wander`` but for ``signup_days`` are shares from 0 to 1."""

    kind: str
    name: str = ""  # default: the kind
    accounts: float | None = None  # about; groups are made whole
    group: float | None = None  # accounts of a household, a team, a class
    calls: float | None = None  # of an account, the median
    spread: float | None = None  # sigma of the log-normal about it; 0 is a task of fixed size
    days: float | None = None  # how long the occasion lasts
    fresh: float | None = None  # share of accounts that are made for the occasion
    signup_days: float | None = None  # ... within so many days
    addresses: float | None = None  # that the crowd (or each group) comes from; 0 is everybody's own
    away: float | None = None  # share of calls from an own address none the less
    verified: float | None = None
    prepaid: float | None = None  # share that pays by voucher and has no card on record
    per_card: float | None = None  # accounts that pay with one card
    one_mail: float | None = None  # share with mail at one host
    follow_ups: float | None = None  # share of calls that go on with a conversation
    interests: float | None = None  # share of words from a person's own interests
    paste: float | None = None  # share of conversations that begin with an earlier answer of the same person
    wander: float | None = None  # share of follow-ups that go out under another key of the group
    clients: float | None = None  # client programs that the crowd uses; 0 is everybody's own
    vpn: float | None = None  # exits of a VPN that everybody is behind; 0 is none


Span: TypeAlias = tuple[float, float]
_COUNTS: Final = frozenset({"accounts", "group", "calls", "addresses", "per_card", "clients", "vpn"})
#: Drawn evenly on a logarithmic scale, for a size is as often doubled as halved.
_SIZES: Final = frozenset({"accounts", "calls", "days", "signup_days", "vpn", "addresses", "group"})

_ANY: Final[dict[str, Span]] = {
    "accounts": (20, 80), "group": (1, 1), "calls": (5, 15), "spread": (0.3, 1.2), "days": (5, 14), "fresh": (0.1, 0.9), "signup_days": (0.5, 14),
    "addresses": (0, 0), "away": (0, 0.5), "verified": (0.2, 0.9), "prepaid": (0, 0.3), "per_card": (1, 1), "one_mail": (0, 0.4), "follow_ups": (0.2, 0.6),
    "interests": (0.5, 0.9), "paste": (0, 0.05), "wander": (0, 0), "clients": (0, 4), "vpn": (0, 0),
}  # fmt: skip
#: kind -> what differs from ``_ANY``
_OWN: Final[dict[str, dict[str, Span]]] = {
    "own-key-app": {"accounts": (40, 120), "clients": (1, 1), "fresh": (0.2, 1), "signup_days": (0.5, 7)},
    "tutorial": {"accounts": (20, 90), "calls": (5, 12), "spread": (0, 0.5), "days": (2, 14), "fresh": (0.4, 1), "follow_ups": (0, 0.1), "clients": (1, 2)},
    "campus-nat": {"accounts": (30, 120), "addresses": (1, 8), "fresh": (0.2, 0.9), "signup_days": (0.5, 7), "one_mail": (0, 1)},
    "annotators": {"accounts": (15, 60), "calls": (15, 60), "spread": (0, 0.6), "fresh": (0.3, 1), "signup_days": (0.5, 10), "follow_ups": (0, 0.05), "interests": (0, 0.3), "clients": (1, 4)},
    "students": {"accounts": (6, 36), "group": (6, 12), "calls": (15, 80), "spread": (0, 0.1), "days": (1, 7), "fresh": (0.2, 1), "signup_days": (0.5, 5), "addresses": (0, 3), "verified": (0, 1),
                 "one_mail": (0.3, 1), "follow_ups": (0, 0), "interests": (0, 0), "clients": (1, 2)},
    "remote-firm": {"accounts": (10, 40), "group": (5, 20), "calls": (10, 50), "fresh": (0.1, 1), "signup_days": (1, 30), "verified": (0, 0.8), "one_mail": (0, 0.3), "follow_ups": (0, 0.3), "interests": (0, 0.3), "wander": (0, 0.1), "clients": (0, 3)},
    "household": {"accounts": (18, 48), "group": (2, 5), "addresses": (1, 1), "away": (0, 0.3), "fresh": (0, 0.6), "signup_days": (0.5, 30), "per_card": (1, 5), "wander": (0, 0.3), "clients": (1, 2)},
    "school": {"accounts": (40, 120), "addresses": (1, 4), "fresh": (0.5, 1), "signup_days": (0.1, 3), "verified": (0, 0.6), "one_mail": (0.7, 1), "days": (3, 14), "clients": (1, 6)},
    "essay-class": {"accounts": (18, 60), "group": (12, 30), "calls": (3, 10), "addresses": (0, 3), "fresh": (0.3, 1), "signup_days": (0.2, 5), "verified": (0, 0.8), "one_mail": (0.2, 1)},
    "reseller": {"accounts": (15, 60), "addresses": (0, 3), "fresh": (0.4, 1), "signup_days": (0.5, 20), "verified": (0, 0.5), "per_card": (4, 15), "one_mail": (0.5, 1), "clients": (1, 1)},
    "privacy-client": {"accounts": (30, 90), "fresh": (0.3, 1), "signup_days": (1, 14), "verified": (0, 0.4), "prepaid": (0.1, 0.7), "one_mail": (0.6, 1), "clients": (1, 1), "vpn": (0, 60)},
    "vpn-prepaid": {"accounts": (30, 120), "fresh": (0.2, 0.9), "verified": (0, 0.4), "prepaid": (0.4, 1), "one_mail": (0, 0.6), "clients": (0, 0), "vpn": (10, 200)},
    "carrier-launch": {"accounts": (40, 150), "addresses": (2, 40), "away": (0, 0.2), "fresh": (0.7, 1), "signup_days": (0.2, 3), "verified": (0, 0.7), "one_mail": (0.5, 1), "clients": (1, 3)},
    "discord-bots": {"accounts": (15, 50), "calls": (8, 50), "fresh": (0.2, 0.8), "addresses": (2, 10), "away": (0, 0.3), "follow_ups": (0.1, 0.5), "interests": (0.2, 0.8), "clients": (1, 2)},
    "translators": {"accounts": (10, 40), "group": (5, 20), "calls": (10, 50), "spread": (0.2, 0.9), "fresh": (0.1, 0.8), "signup_days": (1, 30), "follow_ups": (0, 0.1), "interests": (0, 0.5), "clients": (0, 3)},
    "unverified-firm": {"accounts": (10, 40), "group": (5, 20), "calls": (10, 40), "addresses": (1, 3), "away": (0, 0.4), "fresh": (0.3, 1), "signup_days": (0.1, 10), "verified": (0, 0), "per_card": (1, 6),
                        "one_mail": (0, 1), "follow_ups": (0, 0.4), "interests": (0, 0.3), "wander": (0, 0.1), "clients": (1, 2)},
    "hackathon": {"accounts": (20, 80), "calls": (6, 25), "days": (1, 3), "fresh": (0.6, 1), "signup_days": (0.2, 2), "addresses": (1, 3), "away": (0, 0.6), "clients": (1, 6)},
    "coding-agents": {"accounts": (15, 60), "calls": (10, 50), "fresh": (0, 0.6), "follow_ups": (0.7, 0.95), "clients": (1, 1)},
    "freelancers": {"accounts": (6, 24), "group": (4, 12), "calls": (15, 60), "addresses": (1, 2), "away": (0, 0.5), "fresh": (0, 0.8), "signup_days": (0.5, 60), "verified": (0, 1), "follow_ups": (0, 0.2),
                    "interests": (0, 0.3), "wander": (0, 0.1), "clients": (1, 3)},
}  # fmt: skip
#: kind -> parameter -> (least, most)
RANGES: Final[dict[str, dict[str, Span]]] = {kind: {**_ANY, **own} for kind, own in _OWN.items()}
KINDS: Final = tuple(RANGES)


def _value(rng: Random, name: str, span: Span) -> float:
    low, high = span
    if low >= high:
        return low
    if name in _SIZES and high > 4 * max(low, 1e-9):
        # A size that may be none at all is none in a third of the draws.
        if low == 0 and rng.random() < 1 / 3:
            return 0.0
        low = max(low, 1.0) if low == 0 else low
        drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
    else:
        drawn = rng.uniform(low, high)
    return float(round(drawn)) if name in _COUNTS else round(drawn, 3)


def draw_crowd(crowd: Crowd, rng: Random) -> Crowd:
    """The crowd with every parameter that was left open drawn within its kind's range."""
    drawn = {name: _value(rng, name, span) for name, span in RANGES[crowd.kind].items()}
    given = {name: value for name in drawn if (value := getattr(crowd, name)) is not None}
    return msgspec.structs.replace(crowd, name=crowd.name or crowd.kind, **(drawn | given))


def ranges_table() -> list[str]:
    """The ranges as rows of a Markdown table: what holds for every kind, then what each kind has of its own."""

    def words(spans: dict[str, Span]) -> str:
        return ", ".join(f"{name} {low:g}" if low == high else f"{name} {low:g} to {high:g}" for name, (low, high) in spans.items())

    return [f"| any | {words(_ANY)} |", *(f"| `{kind}` | {words(own)} |" for kind, own in _OWN.items())]


def crowd_faults(crowds: tuple[Crowd, ...]) -> list[tuple[str, str]]:
    """(field, what is wrong) for crowds that cannot be made."""
    out, names = [], [c.name or c.kind for c in crowds]
    for at, (crowd, name) in enumerate(zip(crowds, names, strict=True)):
        field = f"honest.crowds[{at}]"
        if crowd.kind not in RANGES:
            out.append((f"{field}.kind", f"{crowd.kind!r} is none of {', '.join(KINDS)}"))
        if names.count(name) > 1 or not name.replace("-", "").replace("_", "").isalnum():
            out.append((f"{field}.name", "names are letters, digits, - and _, each once; name the second crowd of a kind"))
        for parameter in _ANY:
            value = getattr(crowd, parameter)
            if value is None:
                continue
            share = parameter not in _COUNTS | {"days", "signup_days", "spread"}
            least = 1 if parameter in ("accounts", "group", "calls", "per_card") else 0
            if not (math.isfinite(value) and least <= value <= (1 if share else 1e6)):
                out.append(
                    (f"{field}.{parameter}", "a share from 0 to 1 is needed" if share else f"a number of at least {least} is needed")
                )
    return out
