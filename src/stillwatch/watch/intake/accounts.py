"""The accounts file (CSV or Parquet) -> ``records.ACCOUNTS``, and for blinding the clear values of named accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from stillwatch.records import ACCOUNTS
from stillwatch.watch.intake.cells import mail_of, payment_of, text_of, truth_of
from stillwatch.watch.intake.columns import KNOWN, Layout
from stillwatch.watch.intake.errors import RowError
from stillwatch.watch.intake.identity import Identity
from stillwatch.watch.intake.overlap import overlap
from stillwatch.watch.intake.quarantine import Quarantine
from stillwatch.watch.intake.sheet import Sheet, read_sheet
from stillwatch.watch.intake.signup_times import read_times

_READERS: Final[Mapping[str, Callable[[object, str], object]]] = {
    "email": mail_of,
    "payment_fingerprint": payment_of,
    "payment_par": payment_of,
    "plan": text_of,
    "programme": text_of,
    "org": text_of,
    "verified": truth_of,
}
#: Columns of which a notice says that they are not there; ``country`` is in many files and is not read: it is never evidence.
_MISSED: Final = ("created_at", "email", "payment_fingerprint", "org", "verified")
_QUIET: Final = "country"
#: From so many known values on, one value that more than half of them show is told.
_ENOUGH: Final = 20


@dataclass(frozen=True, slots=True)
class AccountsReport:
    """How a file was read.  Names are those of columns; nothing here is of a cell.

    ``read`` are known columns (``created_at=signup`` where the file calls it otherwise), ``unread`` the file's other columns, ``missing`` known ones that
    are not there, ``suggestions`` known name -> the unread column that looks like it.  ``rows`` of the file, ``lost`` of them that could not be used,
    ``repeated`` that a later row of the same account replaces, ``accounts`` kept.
    ``by_reason`` counts the fields left unknown, by "field: reason".
    """

    file: str
    read: tuple[str, ...]
    unread: tuple[str, ...]
    missing: tuple[str, ...]
    suggestions: Mapping[str, str]
    rows: int
    lost: int
    repeated: int
    accounts: int
    by_reason: Mapping[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


class Clear(NamedTuple):
    """Values of one account in clear, None where unknown.  Only for blinding: never written, never printed."""

    account: str
    payment: str | None
    par: str | None
    email: str | None


@dataclass(slots=True)
class _Loaded:
    """``accounts`` each once, in order of the file; ``values`` known column -> [accounts] what its cells say."""

    accounts: list[str]
    values: dict[str, list[Any]]
    report: AccountsReport


def read_accounts(
    path: Path, identity: Identity, quarantine: Quarantine, columns: Mapping[str, str] | None = None
) -> tuple[pa.Table, AccountsReport]:
    """Return the accounts of a file as a table of schema ACCOUNTS, and how it was read.

    Every column but ``account`` may be missing or empty; ``columns`` says what the file calls those that it names otherwise.  A field that cannot be read
    is unknown and its row is kept; a row without an account, or with more cells than the header, is lost.  Both go to quarantine with file, line
    and field.  Of a repeated account the last row counts.

    Raises:
        IntakeError: the file cannot be read, is not CSV or Parquet, or has no column of accounts.
    """
    loaded = _load(path, identity, quarantine, columns or {})
    values = loaded.values
    mails = [identity.mail(v) for v in values["email"]]
    made = {
        "account": loaded.accounts,
        "created_at": values["created_at"],
        "mail_ref": [m[0] for m in mails],
        "mail_domain_ref": [m[1] for m in mails],
        "mail_shape": [m[2] for m in mails],
        "payment_ref": [identity.ref("payment", v) for v in values["payment_fingerprint"]],
        "plan": values["plan"],
        "programme": values["programme"],
        "org_ref": [identity.ref("org", v) for v in values["org"]],
        "verified": values["verified"],
        "par_ref": [identity.ref("par", v) for v in values["payment_par"]],
    }
    return pa.table(made, schema=ACCOUNTS), loaded.report


def clear_values(
    path: Path, identity: Identity, quarantine: Quarantine, wanted: Collection[str], columns: Mapping[str, str] | None = None
) -> tuple[list[Clear], AccountsReport]:
    """As ``read_accounts``, but the cards and mail addresses in clear, of the accounts ``wanted`` only, in order of the file.

    Raises:
        IntakeError: as ``read_accounts``; or the file names accounts and none of those wanted.
    """
    loaded = _load(path, identity, quarantine, columns or {})
    asked, v = frozenset(wanted), loaded.values
    report = loaded.report
    report = replace(report, notices=report.notices + overlap(asked, loaded.accounts).check(path, "the campaign"))
    rows = zip(loaded.accounts, v["payment_fingerprint"], v["payment_par"], v["email"], strict=True)
    return [Clear(*row) for row in rows if row[0] in asked], report


def _load(path: Path, identity: Identity, quarantine: Quarantine, columns: Mapping[str, str]) -> _Loaded:
    sheet = read_sheet(path, columns, quarantine)
    rows = len(sheet.lines) + sheet.lost
    reading = _Reading(str(path), sheet, quarantine)
    accounts = reading.accounts(identity)
    values: dict[str, list[Any]] = {"created_at": reading.times()}
    values |= {known: reading.column(known, reader) for known, reader in _READERS.items()}
    at = sheet.layout
    missing = tuple(k for k in KNOWN if k not in at.place)
    notices = [
        *_of_layout(at, missing, rows, len(accounts)),
        *_of_rows(sheet, rows, reading.repeated),
        *reading.notices,
        *_of_crowds(values),
    ]
    report = AccountsReport(
        file=path.name,
        read=at.read,
        unread=at.unread,
        missing=missing,
        suggestions=at.suggestions,
        rows=rows,
        lost=rows - len(accounts) - reading.repeated,
        repeated=reading.repeated,
        accounts=len(accounts),
        by_reason=dict(reading.unknown),
        notices=tuple(f"{path.name}: {n}" for n in notices),
    )
    return _Loaded(accounts, values, report)


@dataclass(slots=True)
class _Reading:
    """What a sheet's cells say, column by column; what they do not say is counted in ``unknown`` and lands in quarantine."""

    name: str
    sheet: Sheet
    quarantine: Quarantine
    unknown: Counter[str] = field(default_factory=Counter)
    notices: list[str] = field(default_factory=list)
    repeated: int = 0

    def accounts(self, identity: Identity) -> list[str]:
        """The accounts, each once; from then on the sheet holds their rows only."""
        place: dict[str, int] = {}
        for row, cell in enumerate(self.sheet.cells["account"]):
            try:
                account = identity.account(text_of(cell, "account"))
                if account is None:
                    raise RowError("account", "missing")
            except RowError as bad:
                self.quarantine.add(self.name, self.sheet.lines[row], bad.field, bad.reason, detail=bad.detail)
                continue
            if (earlier := place.get(account)) is not None:
                self.quarantine.add(self.name, self.sheet.lines[earlier], "account", "repeated; the last row counts")
                self.repeated += 1
            place[account] = row
        if len(place) < len(self.sheet.lines):
            self.sheet.lines = [self.sheet.lines[r] for r in place.values()]
            self.sheet.cells = {known: [cells[r] for r in place.values()] for known, cells in self.sheet.cells.items()}
        return list(place)

    def times(self) -> list[float | None]:
        """[accounts] when each account was created."""
        times = read_times(self.sheet.cells.get("created_at", [None] * len(self.sheet.lines)))
        if times.refused:
            self._refuse("created_at", times.refused)
        elif times.note:
            self.notices.append(f"created_at: {times.note}, in UTC where no offset is given")
        self._leave("created_at", [(row, RowError("created_at", reason)) for row, reason in times.bad])
        return times.values

    def column(self, known: str, reader: Callable[[object, str], object]) -> list[object]:
        """[accounts] what a column says."""
        out: list[object] = [None] * len(self.sheet.lines)
        bad: list[tuple[int, RowError]] = []
        for row, cell in enumerate(self.sheet.cells.get(known, ())):
            if cell is None or cell == "":
                continue
            try:
                out[row] = reader(cell, known)
            except RowError as error:
                bad.append((row, error))
        if len(bad) > 1 and all(v is None for v in out):
            self._refuse(known, f"{bad[0][1].reason} in all {len(bad):,} cells that hold anything")
        else:
            self._leave(known, bad)
        return out

    def _refuse(self, known: str, why: str) -> None:
        self.quarantine.blank(self.name, None, known, "no cell of the column can be read")
        self.unknown[f"{known}: no cell of the column can be read"] += 1
        self.notices.append(f"column {known} not read: {why}; the other columns are")

    def _leave(self, known: str, bad: Sequence[tuple[int, RowError]]) -> None:
        for row, error in bad:
            self.quarantine.blank(self.name, self.sheet.lines[row], error.field, error.reason, error.detail)
            self.unknown[f"{error.field}: {error.reason}"] += 1
        if bad:
            all_of = len(self.sheet.lines)
            self.notices.append(
                f"{known}: {len(bad):,} of {all_of:,} accounts have a value that cannot be read; it is unknown (see quarantine.jsonl)"
            )


def _of_layout(at: Layout, missing: Collection[str], rows: int, accounts: int) -> Iterator[str]:
    if not rows:
        yield "a header and no rows, so no account is known"
    elif not accounts:
        yield "no row names an account"
    unread = [n for n in at.unread if n.casefold() != _QUIET]
    card = "payment_fingerprint" in missing and "payment_par" not in missing
    lacking = [k for k in _MISSED if k in missing and k not in at.suggestions and not (card and k == "payment_fingerprint")]
    if unread or lacking or at.suggestions:
        told = [f"columns read: {', '.join(at.read)}"]
        told += [f"not read: {', '.join(unread)}"] if unread else []
        told += [f"not there: {', '.join(lacking)}"] if lacking else []
        told += [f"{theirs} looks like {known}, if it is give --column {known}={theirs}" for known, theirs in at.suggestions.items()]
        yield "; ".join(told)
    for known in at.repeated:
        yield f"column {known} is there more than once; the first is read"


def _of_rows(sheet: Sheet, rows: int, repeated: int) -> Iterator[str]:
    if sheet.damage:
        yield f"{sheet.damage}; what came before was read, get the file again for the rest"
    if repeated:
        yield f"{repeated:,} of {rows:,} rows name{'s' if repeated == 1 else ''} an account that a later row names again; the last row of an account counts"


def _of_crowds(values: Mapping[str, Sequence[object]]) -> Iterator[str]:
    """One value at most accounts is hardly a card: it is a default, or the name of a brand."""
    for known in ("payment_fingerprint", "payment_par", "email"):
        tally = Counter(v for v in values[known] if v is not None)
        most = max(tally.values(), default=0)
        if tally.total() >= _ENOUGH and most > tally.total() / 2:
            yield f"{known}: one value stands at {most:,} of {tally.total():,} accounts; if it is a default, leave the cell empty"
