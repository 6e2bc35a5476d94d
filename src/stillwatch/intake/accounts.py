"""The accounts file -> rows of ``records.ACCOUNTS``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.intake.identity import Identity
from stillwatch.intake.litellm import Rejected, seconds
from stillwatch.intake.quarantine import IntakeError, Quarantine
from stillwatch.records import ACCOUNTS

_TRUTH: Final = {"1": True, "true": True, "yes": True, "y": True, "t": True, "0": False, "false": False, "no": False, "n": False, "f": False}


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    text = path.read_bytes().decode("utf-8-sig", "replace").replace("\0", "")
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [n.strip().lower() for n in reader.fieldnames or []]
    if "account" not in names:
        raise IntakeError(f"{path}: line 1: no column 'account' (found: {', '.join(names) or 'nothing'}); name the column that joins the log's account ids 'account'")
    reader.fieldnames = names
    for row in reader:
        yield reader.line_num, row


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    file = pq.ParquetFile(path)
    if "account" not in file.schema_arrow.names:
        raise IntakeError(f"{path}: no column 'account' (found: {', '.join(file.schema_arrow.names)}); rename the column that joins the log's account ids")
    number = 0
    for batch in file.iter_batches():
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _word(row: dict[str, Any], name: str) -> str | None:
    value = row.get(name)
    text = "" if value is None else str(value).strip()
    return text or None


def read_accounts(path: Path, identity: Identity, quarantine: Quarantine) -> pa.Table:
    """Read a CSV (comma, semicolon or tab) or Parquet accounts file.

    Columns: account, created_at (epoch or ISO 8601), email, payment_fingerprint, plan, programme, org, verified; all but ``account`` may be missing
    or empty, others (``country`` among them) are not read.  A bad row goes to quarantine; of a repeated account the last row counts.

    Raises:
        IntakeError: the file cannot be read or has no column ``account``.
    """
    try:
        with path.open("rb") as file:
            rows = _parquet(path) if file.read(4) == b"PAR1" else _csv(path)
        found: dict[str, dict[str, Any]] = {}
        for line, row in rows:
            try:
                record = _record(row, identity)
            except Rejected as bad:
                quarantine.add(str(path), line, bad.field, bad.reason)
                continue
            if record["account"] in found:
                quarantine.add(str(path), line, "account", "repeated; the last row counts")
            found[record["account"]] = record
    except (OSError, pa.ArrowInvalid, csv.Error) as error:
        raise IntakeError(f"{path}: cannot be read as an accounts file: {error}") from error
    return pa.Table.from_pylist(list(found.values()), schema=ACCOUNTS)


def _record(row: dict[str, Any], identity: Identity) -> dict[str, Any]:
    account = _word(row, "account")
    if account is None:
        raise Rejected("account", "missing")
    created = row.get("created_at")
    if isinstance(created, str):
        created = created.strip() or None
    verified = _word(row, "verified")
    if verified is not None and verified.lower() not in _TRUTH:
        raise Rejected("verified", "neither true nor false (use 1 or 0)")
    mail_ref, domain_ref, shape = identity.mail(_word(row, "email"))
    return {
        "account": identity.account(account),
        "created_at": None if created is None else seconds(created, "created_at"),
        "mail_ref": mail_ref,
        "mail_domain_ref": domain_ref,
        "mail_shape": shape,
        "payment_ref": identity.ref("payment", _word(row, "payment_fingerprint")),
        "plan": _word(row, "plan"),
        "programme": _word(row, "programme"),
        "org_ref": identity.ref("org", _word(row, "org")),
        "verified": None if verified is None else _TRUTH[verified.lower()],
    }
