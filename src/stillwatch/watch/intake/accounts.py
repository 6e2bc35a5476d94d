"""The accounts file (CSV or Parquet) -> ``records.ACCOUNTS``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.records import ACCOUNTS
from stillwatch.watch.intake.clock import epoch
from stillwatch.watch.intake.errors import IntakeError, RowError
from stillwatch.watch.intake.identity import Identity
from stillwatch.watch.intake.lines import Source
from stillwatch.watch.intake.quarantine import Quarantine
from stillwatch.watch.intake.rows import word

_YES: Final = frozenset(("1", "true", "yes", "y", "t"))
_NO: Final = frozenset(("0", "false", "no", "n", "f"))
#: ``country`` is in many such files and is not read: it is never evidence.
_COLUMNS: Final = ("account", "created_at", "email", "payment_fingerprint", "plan", "programme", "org", "verified")
_LONGEST_CELL: Final = 1 << 20


def read_accounts(path: Path, identity: Identity, quarantine: Quarantine) -> pa.Table:
    """Return the accounts of a CSV (comma, semicolon or tab; also .gz, .zst) or Parquet file as a table of schema ACCOUNTS.

    Every column but ``account`` may be missing or empty; unknown columns are not read.  ``created_at`` is in seconds or milliseconds
    since the epoch or ISO 8601.  Rows that cannot be used go to quarantine with file, line and field.  Of a repeated account the last
    row counts. Raises IntakeError when the file cannot be read or has no column ``account``.
    """
    name = str(path)
    found: dict[str, dict[str, Any]] = {}
    try:
        with path.open("rb") as file:
            packed = file.read(4) == b"PAR1"
        for line, row in _parquet(path) if packed else _csv(path, quarantine):
            try:
                record = _record(row, identity)
            except RowError as bad:
                quarantine.add(name, line, bad.field, bad.reason, detail=bad.detail)
                continue
            account = record["account"]
            if account in found:
                quarantine.add(name, line, "account", "repeated; the last row counts")
            found[account] = record
    except OSError as error:
        raise IntakeError(f"{path}: cannot be read ({error.strerror or error}); name a readable accounts file") from error
    except (pa.ArrowException, csv.Error) as error:
        raise IntakeError(f"{path}: cannot be read as an accounts file ({type(error).__name__}); give CSV or Parquet") from error
    return pa.Table.from_pylist(list(found.values()), schema=ACCOUNTS)


def _csv(path: Path, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        source = Source(file, lambda _: None)
        raw = b"".join(source.chunks())
    if source.damage:
        quarantine.add(str(path), None, "", "packed file is damaged; what came before was read", detail=source.damage)
    text = raw.decode("utf-8-sig", "replace").replace("\0", "")
    if "\ufffd" in text:
        quarantine.repair("accounts: invalid UTF-8 replaced")
    head = text.lstrip("\r\n").split("\n", 1)[0]
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    names: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error:
            quarantine.add(str(path), reader.line_num, "", "not a CSV row")
            continue
        if not any(c.strip() for c in cells):
            continue
        if names is None:
            names = _names(path, cells)
        elif len(cells) > len(names) and any(c.strip() for c in cells[len(names) :]):
            quarantine.add(str(path), reader.line_num, "", "more cells than the header has", detail=f"{len(cells)} for {len(names)}")
        else:
            yield reader.line_num, dict(zip(names, cells, strict=False))
    if names is None:
        _names(path, [])


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    file = pq.ParquetFile(path)
    known = {name.strip().lower(): name for name in file.schema_arrow.names}
    _names(path, list(known.values()))
    wanted = {known[name]: name for name in _COLUMNS if name in known}
    row = 0
    for batch in file.iter_batches(columns=list(wanted)):
        columns = [c.cast(pa.timestamp("us", c.type.tz), safe=False) if pa.types.is_timestamp(c.type) else c for c in batch.columns]
        for record in pa.RecordBatch.from_arrays(columns, names=[wanted[n] for n in batch.schema.names]).to_pylist():
            row += 1
            yield row, record


def _names(path: Path, cells: list[str]) -> list[str]:
    names = [c.strip().lower() for c in cells]
    if "account" not in names:
        raise IntakeError(
            f"{path}: line 1: no column 'account' (found: {', '.join(names)[:400] or 'nothing'}); "
            "name the column that holds the log's account ids 'account'"
        )
    return names


def _cell(row: dict[str, Any], name: str) -> str | None:
    text = word(row.get(name))
    return text.strip() if text else None


def _record(row: dict[str, Any], identity: Identity) -> dict[str, Any]:
    account = identity.account(_cell(row, "account"))
    if account is None:
        raise RowError("account", "missing")
    created = row.get("created_at")
    if isinstance(created, datetime):
        created = created.isoformat()
    if isinstance(created, str):
        created = created.strip() or None
    mail_ref, domain_ref, shape = identity.mail(_cell(row, "email"))
    return {
        "account": account,
        "created_at": None if created is None else epoch(created, "created_at"),
        "mail_ref": mail_ref,
        "mail_domain_ref": domain_ref,
        "mail_shape": shape,
        "payment_ref": identity.ref("payment", _cell(row, "payment_fingerprint")),
        "plan": _cell(row, "plan"),
        "programme": _cell(row, "programme"),
        "org_ref": identity.ref("org", _cell(row, "org")),
        "verified": _truth(row.get("verified")),
    }


def _truth(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower().removesuffix(".0")
    if not text:
        return None
    if text not in _YES | _NO:
        raise RowError("verified", "neither true nor false (use 1 or 0)")
    return text in _YES
