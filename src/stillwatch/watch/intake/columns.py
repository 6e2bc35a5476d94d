"""Columns of the accounts file: which are known, where each of them stands, and what one that is missing may be called there.

A column is read under its own name or under the one that the user gives for it (``--column created_at=signup``); a likely name is
suggested and never taken by itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stillwatch.watch.intake.errors import IntakeError

KNOWN: Final = ("account", "created_at", "email", "payment_fingerprint", "payment_par", "plan", "programme", "org", "verified")
#: Other names of each, most telling first.  ``card_id`` and ``payment_method`` are left out: they differ per customer and show no shared card.
_OTHER_NAMES: Final[Mapping[str, str]] = {
    "account": "account_id user_id userid customer_id customer user uid acct_id acct client_id member_id username login internal_user_id id",
    "created_at": "created created_on created_date creation_date creation_time creation create_time date_created signup signup_at signup_date "
    "sign_up sign_up_date signed_up signed_up_at registered registered_at registered_on registration_date registration joined joined_at "
    "date_joined join_date inserted_at opened_at opened customer_since member_since account_created",
    "email": "e_mail mail email_address mail_address user_email customer_email contact_email primary_email",
    "payment_fingerprint": "card_fingerprint fingerprint card payment card_hash card_ref payment_hash payment_ref pm_fingerprint instrument "
    "payment_instrument billing_fingerprint bank_fingerprint",
    "payment_par": "par card_par payment_account_reference account_reference_par",
    "plan": "tier subscription subscription_plan plan_name plan_id billing_plan price_plan product package",
    "programme": "program programme_name program_name grant grant_programme scheme credit_program credits_program startup_program",
    "org": "organisation organization organisation_id organization_id org_id org_name organization_name company company_name team team_id "
    "tenant tenant_id workspace workspace_id institution employer",
    "verified": "is_verified kyc kyc_status kyc_verified identity_verified id_verified verification verification_status",
}
#: Near known names in letters, far from them in meaning.
_OTHER_THINGS: Final = frozenset(("count", "amount", "country", "discount", "emailverified", "mailverified", "phoneverified"))
_PRINTABLE: Final = re.compile(r"[^\W\d][\w .\-/:()]{0,39}")
_CUTOFF: Final = 0.8


def spelling(name: str) -> str:
    """The letters and digits of a name: ``Created At``, ``created-at`` and ``createdAt`` are one."""
    return re.sub(r"[\W_]+", "", name.casefold())


_OTHERS: Final = {known: tuple(spelling(n) for n in names.split()) for known, names in _OTHER_NAMES.items()}


def mapping(words: Iterable[str]) -> dict[str, str]:
    """Return known name -> theirs from words such as ``created_at=signup``.  Raises IntakeError for a word of another form or name."""
    out: dict[str, str] = {}
    for word in words:
        known, equals, theirs = (part.strip() for part in word.partition("="))
        if not equals or not known or not theirs:
            raise IntakeError(f"--column {word}: give KNOWN=THEIRS, such as created_at=signup")
        if known not in KNOWN:
            close = difflib.get_close_matches(known, KNOWN, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(KNOWN)}"
            turned = f"; the known name comes first: --column {theirs}={known}" if theirs in KNOWN else ""
            raise IntakeError(f"--column {word}: no column is known as {known}{turned or '; ' + hint}")
        if out.setdefault(known, theirs) != theirs:
            raise IntakeError(f"--column {word}: {known} is given as {out[known]} too; name one column for it")
    return out


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the known columns stand.  ``place`` is known name -> position from 0; ``unread`` are other columns, by name where it can be shown."""

    place: Mapping[str, int]
    read: tuple[str, ...]
    unread: tuple[str, ...]
    suggestions: Mapping[str, str] = field(default_factory=dict)
    repeated: tuple[str, ...] = ()


def layout(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> Layout:
    """Find the known columns in a header.

    Raises:
        IntakeError: no column holds the account ids, or a column that ``columns`` names is not there.  As the first line of a file without a
            header is a customer's data, only names that are known or usual are printed then.
    """
    spelt = [spelling(name) for name in header]
    place: dict[str, int] = {}
    for known, theirs in columns.items():
        if spelling(theirs) not in spelt:
            near = difflib.get_close_matches(spelling(theirs), [s for s in spelt if _usual(s)], 1)
            hint = f"; {header[spelt.index(near[0])].strip()} looks like it" if near else ""
            raise IntakeError(f"{path}: line 1: no column {theirs!r}, which --column names for {known}{hint}")
        place[known] = spelt.index(spelling(theirs))
    for known in KNOWN:
        if known not in place and spelling(known) in spelt:
            place[known] = spelt.index(spelling(known))
    taken = set(place.values())
    suggestions = _suggest([k for k in KNOWN if k not in place], {s: i for i, s in reversed(list(enumerate(spelt))) if i not in taken})
    if "account" not in place:
        raise IntakeError(f"{path}: line 1: no column 'account' {_without_account(header, spelt, suggestions)}")
    return Layout(
        {k: place[k] for k in KNOWN if k in place},
        tuple(k if spelling(header[place[k]]) == spelling(k) else f"{k}={_shown(header, place[k])}" for k in KNOWN if k in place),
        tuple(_shown(header, i) for i, name in enumerate(header) if name.strip() and i not in taken and spelt[i] not in spelt[:i]),
        {k: _shown(header, i) for k, i in suggestions.items()},
        tuple(k for k in KNOWN if k in place and spelt.count(spelt[place[k]]) > 1),
    )


def _suggest(missing: Sequence[str], free: dict[str, int]) -> dict[str, int]:
    """Known name -> position of the column that may be it; each column once: usual names first, then their endings, then likeness of letters."""
    out: dict[str, int] = {}

    def take(known: str, name: str) -> None:
        out[known] = free.pop(name)

    for known in missing:
        if name := next((n for n in _OTHERS[known] if n in free), None):
            take(known, name)
    for known in (k for k in missing if k not in out):
        endings = [n for n in (spelling(known), *_OTHERS[known]) if len(n) >= 5]
        if name := next((f for e in endings for f in free if f.endswith(e) and f not in _OTHER_THINGS), None):
            take(known, name)
    for known in (k for k in missing if k not in out):
        likely = [n for n in (spelling(known), *_OTHERS[known]) if len(n) >= 5]
        scored = [(difflib.SequenceMatcher(None, f, n).ratio(), f) for n in likely for f in free if f not in _OTHER_THINGS]
        best = max(scored, default=(0.0, ""))
        if best[0] >= _CUTOFF:
            take(known, best[1])
    return out


def _usual(spelt: str) -> bool:
    """Whether a name is one that this file knows: then it is a name, whatever else the line holds."""
    return any(spelt == spelling(known) or spelt in others for known, others in _OTHERS.items())


def _without_account(header: Sequence[str], spelt: Sequence[str], suggestions: Mapping[str, int]) -> str:
    if not any(n.strip() for n in header):
        return "(the file is empty); export the sign-up records with a header line"
    known = [header[i].strip() for i, s in enumerate(spelt) if _usual(s)]
    told = f"({len(header)} columns{', among them ' + ', '.join(known) if known else ', none of a usual name: is there a header line?'})"
    if (at := suggestions.get("account")) is not None:
        theirs = header[at].strip() if _usual(spelt[at]) else f"column {at + 1}"
        name = theirs if _usual(spelt[at]) else "NAME"
        return f"{told}; {theirs} looks like it: give --column account={name}"
    return f"{told}; name the column that holds the log's account ids with --column account=NAME"


def _shown(header: Sequence[str], at: int) -> str:
    """A column's name, or its position where the name may be more than a name."""
    name = header[at].strip()
    return name if _PRINTABLE.fullmatch(name) and not re.search(r"\d{4}", name) else f"column {at + 1}"
