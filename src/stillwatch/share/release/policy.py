"""A lab's own policy of release: on which legal basis until when, how much evidence is enough; and the roles that persons may have."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal

import msgspec

from stillwatch.share.release.document import Basis, KeyId, Tlp

Role = Literal["release", "counsel", "operator", "auditor"]


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody with a role at a desk; ``public_key`` is Ed25519, hex."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    roles: Annotated[tuple[Role, ...], msgspec.Meta(min_length=1)]
    public_key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Ground(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A legal basis.  After ``known_until`` it is taken to have lapsed, whatever may have happened since: it fails closed.

    ``source`` says where the date is from, so that counsel can renew it.
    """

    basis: Basis
    known_until: date
    source: Annotated[str, msgspec.Meta(min_length=1)]


#: What was known when this was written.  The statement of 2014 has no end of its own; its date is a review that counsel owes.
KNOWN_BASES: Final = (
    Ground(
        "us-cisa-2015", date(2026, 9, 30), "Cybersecurity Information Sharing Act of 2015, 6 U.S.C. 1501-1510, as last known to be extended"
    ),
    Ground(
        "us-doj-ftc-2014",
        date(2027, 6, 30),
        "Antitrust Policy Statement on Sharing of Cybersecurity Information (US Department of Justice and FTC, 10 April 2014); date of the next review",
    ),
)


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lab's policy.  ``member`` is the fingerprint of its signing key, ``former`` those of the keys before it."""

    member: KeyId
    former: tuple[KeyId, ...] = ()
    legal: tuple[Ground, ...] = KNOWN_BASES
    minimum_bits: float = 10.0
    default_tlp: Tlp = "amber"
    valid_days: Annotated[int, msgspec.Meta(ge=1, le=180)] = 90
    fragment_accounts: int = 20
    fragment_calls: int = 200
    token_cap: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    token_budget_a_day: Annotated[int, msgspec.Meta(ge=1)] = 100_000

    def basis(self, today: date) -> Ground | None:
        """The first basis that is still known to hold; None when all have lapsed."""
        return next((g for g in self.legal if today <= g.known_until), None)

    def holds(self, basis: str, today: date) -> bool:
        """Whether a basis that was stamped earlier is still known to hold."""
        return any(g.basis == basis and today <= g.known_until for g in self.legal)
