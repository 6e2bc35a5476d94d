"""The lab's own population: what its accounts are like, as integer codes, so that every null is drawn from this log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

DAY: Final = 86400.0
MISSING: Final = -1


@dataclass(frozen=True, slots=True)
class Trait:
    """One trait of every account.  ``codes`` int64[accounts], -1 where unknown; ``counts`` [values] accounts that show each value."""

    codes: NDArray[np.int64]
    counts: NDArray[np.int64]
    labels: tuple[str, ...]
    known: int  # accounts of which it is known


def trait(values: list[str | None]) -> Trait:
    """Code a column of labels."""
    coded = pa.array(values, pa.string()).dictionary_encode()
    codes = coded.indices.fill_null(MISSING).to_numpy().astype(np.int64)
    labels = tuple(coded.dictionary.to_pylist())
    return Trait(codes, np.bincount(codes[codes >= 0], minlength=len(labels)), labels, int((codes >= 0).sum()))


@dataclass(frozen=True, slots=True)
class Population:
    """Every account of the log.

    ``address_offsets`` int64[accounts + 1] into ``address_codes``, the distinct addresses of each account; ``address_counts`` accounts per address.
    ``owner`` int64[accounts]: accounts with one declared owner share a code.  Times are epoch seconds, NaN where unknown.
    """

    accounts: tuple[str, ...]
    owner: NDArray[np.int64]
    relation: tuple[str, ...]  # "organisation", "payer", "institution" or ""
    declared: NDArray[np.bool_]  # has a relation
    calls: NDArray[np.int64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    created: NDArray[np.float64]
    verified: NDArray[np.int8]  # 1 yes, 0 no, -1 unknown
    verified_known: tuple[int, int]  # accounts of which it is known, and those of them that are
    end_users: NDArray[np.int64]
    programme: Trait
    payment: Trait
    mail_domain: Trait
    mail_shape: Trait
    signup_day: Trait
    age: Trait
    client: Trait  # the client of most of its calls
    client_codes: dict[int, int]  # client hash -> code of ``client``
    address_offsets: NDArray[np.int64]
    address_codes: NDArray[np.int64]
    address_counts: NDArray[np.int64]
    address_uses: int  # accounts by addresses, summed
    address_first: NDArray[np.float64]  # first and last call from each address, by anybody
    address_last: NDArray[np.float64]
    address_labels: tuple[str, ...]
    #: Accounts that send one another's answers on (see ``classes.echo``): number of the exchange, -1 for none; None where the log holds no answers.
    echo: NDArray[np.int64] | None = None
    echo_weights: tuple[tuple[float, str], ...] = ()  # bits and sentence of each exchange
    #: What partners' suspicions share with each account, by kind of trait: 1 shared, 0 sent for matching and not shared, -1 not sent.  Empty: nobody was asked.
    partners: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)
    partner_rates: Mapping[str, float] = field(
        default_factory=dict
    )  # by kind, the usual share of a suspicion's accounts that partners share

    def addresses(self, who: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(position in ``who``, address code) for every address of these accounts."""
        lengths = self.address_offsets[who + 1] - self.address_offsets[who]
        owner = np.repeat(np.arange(len(who)), lengths)
        inside = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return owner, self.address_codes[np.repeat(self.address_offsets[who], lengths) + inside]

    def uses(self, who: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(distinct addresses, calls) of each of these accounts."""
        return self.address_offsets[who + 1] - self.address_offsets[who], self.calls[who]


_AGES: Final = (0.0, 1 / 24, 0.25, 1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 240.0, 480.0)


def age_label(days: float) -> str | None:
    """Bin of an account's age in days at its first call; None where unknown."""
    if np.isnan(days):
        return None
    if days < 0:
        return "called before it was created"
    upper = int(np.searchsorted(_AGES, days, side="right"))
    if upper == len(_AGES):
        return f"over {_AGES[-1]:g} days"
    return f"under {_AGES[upper]:g} days" if _AGES[upper] >= 1 else f"under {_AGES[upper] * 24:g} hours"


def describe(joined: list[dict[str, object]], owner: NDArray[np.int64], addresses: pa.Table, harness: pa.Table) -> Population:
    """Build the population.

    Args:
        joined: records from ``owners``.
        owner: their owner codes.
        addresses: account, address_ref, first, last (see ``link.account_addresses``).
        harness: who, client, calls (see ``link.streams``).
    """
    main: dict[int, tuple[int, int]] = {}
    for who, client, calls in zip(*(harness.column(c).to_pylist() for c in ("who", "client", "calls")), strict=True):
        main[who] = max(main.get(who, (0, 0)), (calls, client))
    client = trait([str(main[i][1]) if i in main else None for i in range(len(joined))])

    def column(name: str) -> list[str | None]:
        return [None if r.get(name) in (None, "") else str(r[name]) for r in joined]

    def numbers(name: str) -> NDArray[np.float64]:
        return np.array([np.nan if r.get(name) is None else float(str(r[name])) for r in joined], np.float64)

    # A mail name such as "api" at a firm's own domain says nothing; patterns are compared only at domains that several owners use.
    holders: dict[str, set[int]] = {}
    for r, o in zip(joined, owner.tolist(), strict=True):
        holders.setdefault(str(r.get("mail_domain_ref")), set()).add(o)
    shapes = [s if len(holders[str(r.get("mail_domain_ref"))]) >= 3 else None for r, s in zip(joined, column("mail_shape"), strict=True)]
    created, first = numbers("created_at"), numbers("first")
    coded = addresses.column("address_ref").combine_chunks().dictionary_encode()
    place = {str(r["account"]): i for i, r in enumerate(joined)}
    who = np.array([place[a] for a in addresses.column("account").to_pylist()], np.int64)
    by = np.argsort(who, kind="stable")
    codes = coded.indices.to_numpy()[by].astype(np.int64)
    seen_first, seen_last = np.full(len(coded.dictionary), np.inf), np.full(len(coded.dictionary), -np.inf)
    np.minimum.at(seen_first, codes, addresses.column("first").to_numpy()[by])
    np.maximum.at(seen_last, codes, addresses.column("last").to_numpy()[by])
    offsets = np.searchsorted(who[by], np.arange(len(joined) + 1))
    verified = np.array([-1 if r.get("verified") is None else int(bool(r["verified"])) for r in joined], np.int8)
    return Population(
        accounts=tuple(str(r["account"]) for r in joined),
        owner=owner,
        relation=tuple(str(r["relation"]) for r in joined),
        declared=np.array([bool(r["relation"]) for r in joined], bool),
        calls=numbers("calls").astype(np.int64),
        first=first,
        last=numbers("last"),
        created=created,
        verified=verified,
        verified_known=(int((verified >= 0).sum()), int((verified == 1).sum())),
        end_users=numbers("end_users").astype(np.int64),
        programme=trait(column("programme")),
        payment=trait(column("card")),
        mail_domain=trait(column("mail_domain_ref")),
        mail_shape=trait(shapes),
        signup_day=trait([None if np.isnan(c) else str(int(c // DAY)) for c in created]),
        age=trait([age_label(d) for d in (first - created) / DAY]),
        client=client,
        client_codes={int(label): i for i, label in enumerate(client.labels)},
        address_offsets=offsets.astype(np.int64),
        address_codes=codes,
        address_counts=np.bincount(codes, minlength=len(coded.dictionary)),
        address_uses=len(codes),
        address_first=seen_first,
        address_last=seen_last,
        address_labels=tuple(coded.dictionary.to_pylist()),
    )
