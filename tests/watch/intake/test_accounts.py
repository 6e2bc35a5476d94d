"""The accounts file as people have it: other names, other dates, other words, other kinds of file; a bad field costs the field."""

from __future__ import annotations

import doctest
import gzip
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillwatch.records import ACCOUNTS
from stillwatch.watch.intake import (
    AccountsReport,
    Identity,
    IntakeError,
    Quarantine,
    cells,
    clear_values,
    columns,
    mapping,
    overlap,
    read_accounts,
    signup_times,
)

KEY = bytes(range(32))
CSV = "account,created_at,email,payment_fingerprint,country,plan,programme,org,verified,extra\n"
HEAD = "account,created_at,email,payment_fingerprint,verified\n"


def read(path: Path, data: str | bytes, **mapped: str) -> tuple[dict[str, dict[str, Any]], AccountsReport, Quarantine]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    quarantine = Quarantine.memory()
    table, report = read_accounts(path, Identity(KEY), quarantine, mapped)
    return {r["account"]: r for r in table.to_pylist()}, report, quarantine


def refusal(path: Path, data: str | bytes, **mapped: str) -> str:
    with pytest.raises(IntakeError) as error:
        read(path, data, **mapped)
    return str(error.value)


@pytest.mark.parametrize("module", [cells, signup_times, sys.modules[overlap.__module__]])
def test_doctests(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted and not result.failed


def test_a_bad_field_costs_the_field(tmp_path: Path) -> None:
    text = CSV + "u-1,1786314349.674,J@x.example,p,XX,paygo,,o,0,\nu-2,1786314349674,,,,,,,yes,\nu-3,2026-08-09T20:25:49Z,,,,,,,,\n"
    text += "u-4\n\n,5,,,,,,,,\nu-5,soon,s@x.example,,,,,,,\nu-6,,,p6,,,,,maybe,\nu-1,,,q,,pro,edu,,1,\nu-7,,,,,,,,,,,surplus\n"
    path = tmp_path / "a.csv"
    rows, report, quarantine = read(path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    a = Identity(KEY)
    assert read_accounts(path, a, Quarantine.memory())[0].schema.equals(ACCOUNTS, check_metadata=True)
    assert sorted(rows) == ["u-1", "u-2", "u-3", "u-4", "u-5", "u-6"]
    assert rows["u-1"]["payment_ref"] == a.ref("payment", "q") and rows["u-1"]["verified"] is True and rows["u-1"]["plan"] == "pro"
    assert rows["u-2"]["created_at"] == 1786314349.674 and rows["u-2"]["verified"] is True and rows["u-3"]["verified"] is None
    assert rows["u-5"]["created_at"] is None and rows["u-5"]["mail_ref"] and rows["u-6"]["verified"] is None and rows["u-6"]["payment_ref"]
    entries = sorted((e["line"], e["field"]) for e in quarantine.entries)  # type: ignore[type-var]
    assert entries == [(2, "account"), (7, "account"), (8, "created_at"), (9, "verified"), (11, "")]
    assert quarantine.count == 3 and report.rows == 9 and report.accounts == 6 and (report.lost, report.repeated) == (2, 1)
    assert report.by_reason == {"created_at: not a time": 1, "verified: neither yes nor no": 1}
    assert any("created_at: 1 of 6 accounts" in n for n in report.notices)
    assert "XX" not in str(rows)


def test_other_forms_of_one_file_give_one_table(tmp_path: Path) -> None:
    a = Identity(KEY)
    (tmp_path / "semi.csv.gz").write_bytes(gzip.compress(b"Account;E-Mail;ORG\nu-1;j@x.example;o\n", mtime=0))
    (tmp_path / "bar.txt").write_bytes(b"account|email|org\nu-1|j@x.example|o\n")
    (tmp_path / "sep.csv").write_bytes(b"sep=;\r\naccount;email;org\r\nu-1;j@x.example;o\r\n")
    pq.write_table(pa.table({"account": ["u-1"], "email": ["j@x.example"], "org": ["o"], "country": ["XX"]}), tmp_path / "p.parquet")
    tables = [read_accounts(tmp_path / n, a, Quarantine.memory())[0] for n in ("semi.csv.gz", "bar.txt", "sep.csv", "p.parquet")]
    assert all(t.equals(tables[0]) for t in tables)
    assert tables[0].to_pylist()[0]["org_ref"] == a.ref("org", "o")
    assert "cannot be read" in refusal(tmp_path / "bad.csv", b"PAR1 not") and "gone" in str(tmp_path / "gone")
    with pytest.raises(IntakeError, match="gone"):
        read_accounts(tmp_path / "gone.csv", a, Quarantine.memory())


def test_parquet_of_other_types_reads_as_text_would(tmp_path: Path) -> None:
    at = datetime(2026, 6, 1, 8, tzinfo=UTC)
    pq.write_table(
        pa.table(
            {
                "account": pa.array([12.0, 13.0, None]),
                "created_at": pa.array([at, None, at], pa.timestamp("ns", "UTC")),
                "payment_fingerprint": pa.array([Decimal("7.00"), None, None], pa.decimal128(9, 2)),
                "verified": pa.array([1.0, float("nan"), 0.0]),
                "org": pa.array([b"o", None, None], pa.binary()),
                "plan": pa.array([["a"], None, None], pa.list_(pa.string())),
            }
        ),
        tmp_path / "a",
    )
    table, report = read_accounts(tmp_path / "a", Identity(KEY), Quarantine.memory())
    rows = {r["account"]: r for r in table.to_pylist()}
    assert sorted(rows) == ["12", "13"] and rows["12"]["created_at"] == at.timestamp() and rows["12"]["verified"] is True
    assert rows["12"]["payment_ref"] == Identity(KEY).ref("payment", "7") and rows["12"]["org_ref"] == Identity(KEY).ref("org", "o")
    assert rows["13"]["verified"] is None and rows["12"]["plan"] is None and report.by_reason == {"plan: not a plain value": 1}


# --- columns


def test_columns_not_read_are_named_with_what_they_look_like(tmp_path: Path) -> None:
    rows, report, _ = read(
        tmp_path / "a.csv",
        "account,created,user_email,card_fingerprint,country,plan,programme,org,verified\nu-1,1786314349,a@x.example,c,,,,,1\n",
    )
    assert report.read == ("account", "plan", "programme", "org", "verified") and rows["u-1"]["created_at"] is None
    assert report.unread == ("created", "user_email", "card_fingerprint", "country")
    assert report.suggestions == {"created_at": "created", "email": "user_email", "payment_fingerprint": "card_fingerprint"}
    [notice] = report.notices
    assert (
        "not read: created, user_email, card_fingerprint;" in notice and "--column created_at=created" in notice and "country" not in notice
    )
    rows, report, _ = read(
        tmp_path / "a.csv", "account,created,user_email\nu-1,1786314349,a@x.example\n", created_at="Created", email="user_email"
    )
    assert rows["u-1"]["created_at"] == 1786314349 and rows["u-1"]["mail_ref"]
    assert report.read == ("account", "created_at=created", "email=user_email")


@pytest.mark.parametrize(
    ("theirs", "known"),
    [
        ("user_id", "account"), ("customer", "account"), ("acount", "account"), ("signup", "created_at"), ("created_on", "created_at"),
        ("user_created_at", "created_at"), ("creatd_at", "created_at"), ("Registration Date", "created_at"), ("email_address", "email"),
        ("stripe_card_fingerprint", "payment_fingerprint"), ("card", "payment_fingerprint"), ("tier", "plan"), ("organization_id", "org"),
        ("company", "org"), ("is_verified", "verified"), ("kyc_status", "verified"), ("payment_account_reference", "payment_par"),
    ],
)  # fmt: skip
def test_likely_names_are_suggested_and_never_taken(tmp_path: Path, theirs: str, known: str) -> None:
    if known == "account":
        assert f"--column account={theirs if theirs != 'acount' else 'NAME'}" in refusal(tmp_path / "a.csv", f"{theirs},plan\nu-1,p\n")
        return
    rows, report, _ = read(tmp_path / "a.csv", f"account,{theirs}\nu-1,true\n")
    assert report.suggestions == {known: theirs} and theirs in report.unread
    assert {k for k, v in rows["u-1"].items() if v is not None} == {"account"}


@pytest.mark.parametrize("theirs", ["updated_at", "email_verified", "count", "country", "payment_method_id", "card_id", "notes", "ip"])
def test_other_things_are_not_suggested(tmp_path: Path, theirs: str) -> None:
    _, report, _ = read(tmp_path / "a.csv", f"account,{theirs}\nu-1,x\n")
    assert report.suggestions == {} and report.unread == (theirs,)


def test_other_spellings_of_a_name_are_that_name(tmp_path: Path) -> None:
    rows, report, _ = read(tmp_path / "a.csv", ' "Account" ,Created At,E-Mail,paymentFingerprint\nu-1,1786314349,a@x.example,c\n')
    assert rows["u-1"]["created_at"] and rows["u-1"]["mail_ref"] and rows["u-1"]["payment_ref"] and report.unread == ()


def test_a_mapping_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    assert mapping(["created_at=signup", " email = mail "]) == {"created_at": "signup", "email": "mail"}
    for words, told in (
        (["created_at"], "KNOWN=THEIRS"),
        (["=x"], "KNOWN=THEIRS"),
        (["creatd_at=x"], "did you mean created_at"),
        (["signup=created_at"], "--column created_at=signup"),
        (["zzz=x"], "known are account"),
        (["email=a", "email=b"], "name one column"),
    ):
        with pytest.raises(IntakeError, match=told):
            mapping(words)
    assert "no column 'signup', which --column names for created_at" in refusal(
        tmp_path / "a.csv", "account,created\nu,1\n", created_at="signup"
    )


def test_one_column_may_serve_twice_and_a_mapped_one_wins(tmp_path: Path) -> None:
    rows, report, _ = read(tmp_path / "a.csv", "email,account\na@x.example,old\n", account="email")
    [row] = rows.values()
    assert row["account"].startswith("m-") and row["mail_ref"] and report.unread == ("account",)
    rows, report, _ = read(tmp_path / "a.csv", "account,org,org\nu-1,a,b\n")
    assert rows["u-1"]["org_ref"] == Identity(KEY).ref("org", "a") and any("more than once" in n for n in report.notices)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    _, report, _ = read(tmp_path / "a.csv", HEAD)
    assert any("a header and no rows" in n for n in report.notices)
    assert "no column 'account' (the file is empty)" in refusal(tmp_path / "a.csv", b"")
    _, report, _ = read(tmp_path / "a.csv", HEAD + ",1786314349,,,\n")
    assert any("no row names an account" in n for n in report.notices)
    _, report, _ = read(tmp_path / "a.csv", "account,payment_par\nu-1,V0010013018046125\n")
    assert "not there: created_at, email, org, verified" in report.notices[0]


def test_a_usual_file_is_read_without_a_word(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", CSV.replace(",extra", "") + "u-1,1786314349,a@x.example,c,XX,p,,o,1\n")[1].notices == ()


# --- dates

WHEN = datetime(2026, 6, 1, 20, 23, 18, tzinfo=UTC)
FORMS: dict[str, Callable[[datetime], str]] = {
    "psql": lambda d: f"{d:%Y-%m-%d %H:%M:%S}+00",
    "BigQuery": lambda d: f"{d:%Y-%m-%d %H:%M:%S} UTC",
    "with microseconds": lambda d: f"{d:%Y-%m-%d %H:%M:%S}.000000 UTC",
    "Go": lambda d: f"{d:%Y-%m-%d %H:%M:%S} +0000 UTC",
    "GMT": lambda d: f"{d:%Y-%m-%d %H:%M:%S} GMT",
    "Z": lambda d: f"{d:%Y-%m-%dT%H:%M:%S}Z",
    "Java": lambda d: f"{d:%Y-%m-%dT%H:%M:%S}Z[UTC]",
    "offset": lambda d: f"{d:%Y-%m-%d %H:%M:%S}+0000",
    "slashes, year first": lambda d: f"{d:%Y/%m/%d %H:%M:%S}",
    "mail": lambda d: f"{d:%a, %d %b %Y %H:%M:%S} GMT",
    "JavaScript": lambda d: f"{d:%a %b %d %Y %H:%M:%S} GMT+0000 (Coordinated Universal Time)",
    "C": lambda d: f"{d:%a %b %e %H:%M:%S %Y}",
    "US words": lambda d: f"{d:%b %d, %Y, %I:%M:%S %p}",
    "US": lambda d: f"{d:%m/%d/%Y %I:%M:%S %p}",
    "British": lambda d: f"{d:%d/%m/%Y %H:%M:%S}",
    "points": lambda d: f"{d:%d.%m.%Y %H:%M:%S}",
    "US, short year": lambda d: f"{d.month}/{d.day}/{d:%y %H:%M:%S}",
    "digits": lambda d: f"{d:%Y%m%d%H%M%S}",
    "seconds": lambda d: f"{d.timestamp():.0f}",
    "milliseconds": lambda d: f"{d.timestamp() * 1e3:.0f}",
    "microseconds": lambda d: f"{d.timestamp() * 1e6:.0f}",
    "spreadsheet": lambda d: f"{d.timestamp() / 86400 + 25569:.6f}",
    "spreadsheet, decimal comma": lambda d: f"{d.timestamp() / 86400 + 25569:.6f}".replace(".", ","),
}


@pytest.mark.parametrize("form", FORMS)
def test_common_forms_of_dates_are_one_time(form: str) -> None:
    days = [WHEN, datetime(2024, 11, 17, 14, 16, 30, tzinfo=UTC), datetime(2026, 6, 4, tzinfo=UTC)]
    times = signup_times.read_times([FORMS[form](d) for d in days])
    assert times.values == pytest.approx([d.timestamp() for d in days], abs=0.1) and not times.bad and not times.refused


@given(st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)), st.sampled_from(sorted(set(FORMS) - {"US, short year", "digits"})))
def test_no_date_is_taken_for_another(day: datetime, form: str) -> None:
    """Whatever the day, a column of one form gives these days or says that it does not."""
    days = [day.replace(tzinfo=UTC, microsecond=0), WHEN, WHEN.replace(day=17)]
    times = signup_times.read_times([FORMS[form](d) for d in days])
    for value, wanted in zip(times.values, days, strict=True):
        assert value is None or value == pytest.approx(wanted.timestamp(), abs=0.1)


def test_days_and_months_that_cannot_be_told_apart_refuse_the_column_once(tmp_path: Path) -> None:
    for dates in (("06/04/2026", "01/02/2026"), ("13/04/2026", "04/13/2026"), ("26/06/14", "27/06/14")):
        text = HEAD + "".join(f"u-{i},{d},a{i}@x.example,c{i},1\n" for i, d in enumerate(dates))
        rows, report, quarantine = read(tmp_path / "a.csv", text)
        assert all(r["created_at"] is None and r["mail_ref"] and r["payment_ref"] and r["verified"] for r in rows.values())
        [told] = [n for n in report.notices if "column created_at" in n]
        assert "99/99/99" in told and not any(d in told for d in dates) and len(quarantine.entries) == 1
    text = HEAD + "u-1,2026-06-01,,,\nu-2,06/04/2026,,,\n"
    rows, report, _ = read(tmp_path / "a.csv", text)
    assert rows["u-1"]["created_at"] and rows["u-2"]["created_at"] is None
    assert report.by_reason == {"created_at: day and month cannot be told apart": 1}


def test_how_dates_were_understood_is_said(tmp_path: Path) -> None:
    for dates, told in (
        (("06/04/2026", "11/17/2024"), "month/day/year"),
        (("4.6.2026", "17.11.2024"), "day/month/year"),
        (("46177.8", "45613"), "spreadsheet"),
    ):
        rows, report, _ = read(tmp_path / "a.csv", HEAD + "".join(f"u-{i},{d},a@x{i}.example,c{i},1\n" for i, d in enumerate(dates)))
        assert all(r["created_at"] for r in rows.values()) and any(told in n for n in report.notices)


@pytest.mark.parametrize(
    "bad", ["soon", "2026-13-01", "0000-00-00 00:00:00", "2026-06-01 00:00:00 PST", "1.78E+09", "0", "-5", "9" * 400, "25:00", "²"]
)
def test_what_is_no_time_is_unknown(bad: str) -> None:
    times = signup_times.read_times([bad, "2026-06-01"])
    assert times.values == [None, datetime(2026, 6, 1, tzinfo=UTC).timestamp()] and len(times.bad) == 1
    assert signup_times.read_times([bad]).refused


@given(
    st.lists(
        st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.datetimes(), st.binary(), st.sampled_from(["1/2/2026", "46000"])),
        max_size=6,
    )
)
def test_any_column_of_times_is_read_or_refused(column: list[Any]) -> None:
    times = signup_times.read_times(column)
    assert len(times.values) == len(column)
    assert all(v is None or signup_times.EARLIEST <= v < signup_times.LATEST for v in times.values)


# --- words

UNKNOWN = [
    "",
    " ",
    "null",
    "NULL",
    "None",
    "N/A",
    "n/a",
    "#N/A",
    "-",
    "--",
    "(null)",
    "<null>",
    "\\N",
    "nan",
    "nil",
    "unknown",
    "?",
    "not available",
    "#REF!",
    "—",
]


@pytest.mark.parametrize("word", UNKNOWN)
def test_placeholders_are_unknown_in_every_column(tmp_path: Path, word: str) -> None:
    names = [c for c in columns.KNOWN if c != "account"]
    text = "\t".join(["account", *names]) + "\n" + "".join("\t".join([f"u-{i}", *[word] * len(names)]) + "\n" for i in range(40))
    rows, report, quarantine = read(tmp_path / "a.csv", text)
    assert len(rows) == 40 and {v for r in rows.values() for k, v in r.items() if k != "account"} == {None}
    assert not report.by_reason and not quarantine.entries
    assert not read(tmp_path / "a.csv", f"account\tplan\n{word}\tp\n")[0]


@pytest.mark.parametrize("card", ["0", "0000-0000", "xxxx", "****", "no card"])
def test_no_card_is_no_card(tmp_path: Path, card: str) -> None:
    rows, _, _ = read(tmp_path / "a.csv", f"account,payment_fingerprint,payment_par,email\nu-1,{card},{card},none@none.example\n")
    assert rows["u-1"]["payment_ref"] is None and rows["u-1"]["par_ref"] is None and rows["u-1"]["mail_ref"] is None


def test_digits_that_a_spreadsheet_cut_short_are_no_card(tmp_path: Path) -> None:
    rows, report, _ = read(tmp_path / "a.csv", "account,payment_fingerprint\nu-1,1.23457E+15\nu-2,1.23457E+15\nu-3,c\n")
    assert rows["u-1"]["payment_ref"] is None and rows["u-3"]["payment_ref"]
    assert report.by_reason == {"payment_fingerprint: digits that a spreadsheet cut short": 2}


@pytest.mark.parametrize(
    ("word", "answer"),
    [(w, True) for w in ("1", "true", "TRUE", "yes", "Y", "t", "verified", "Verified", "1.0", "confirmed")]
    + [(w, False) for w in ("0", "false", "No", "n", "F", "unverified", "not verified", "not_verified", "0.0", "rejected")]
    + [(w, None) for w in ("maybe", "pending", "2", "✓", "level 2", "unknown", "")],
)
def test_words_of_verification(tmp_path: Path, word: str, answer: bool | None) -> None:
    rows, _, _ = read(tmp_path / "a.csv", HEAD + f"u-1,,,c,{word}\nu-2,,,c2,1\n")
    assert rows["u-1"]["verified"] is answer and rows["u-1"]["payment_ref"] and rows["u-2"]["verified"] is True


def test_a_column_of_other_words_is_refused_once(tmp_path: Path) -> None:
    rows, report, quarantine = read(tmp_path / "a.csv", HEAD + "".join(f"u-{i},,,c{i},level {i}\n" for i in range(9)))
    assert len(rows) == 9 and len(quarantine.entries) == 1 and any("column verified not read" in n for n in report.notices)


def test_one_card_at_most_accounts_is_told(tmp_path: Path) -> None:
    text = HEAD + "".join(f"u-{i},,,{'visa' if i % 3 else i + 9},\n" for i in range(60))
    told = [n for n in read(tmp_path / "a.csv", text)[1].notices if "payment_fingerprint" in n and "40 of 60" in n]
    assert told and "visa" not in told[0]


# --- other kinds of file


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ((HEAD + "u-1,,,,\n").encode("utf-16"), "UTF-16 text; convert it to UTF-8"),
        ((HEAD + "u-1,,,,\n").encode("utf-16-le"), "UTF-16"),
        ((HEAD + "u-1,,,,\n").encode("utf-32"), "UTF-32 text; convert it to UTF-8"),
        (json.dumps([{"account": "u-1", "email": "jane@x.example"}]).encode(), "JSON, not CSV"),
        (b'\xef\xbb\xbf {"account": "u-1", "email": "jane@x.example"}\n', "JSON, not CSV"),
        (gzip.compress(b'{"accounts": [{"email": "jane@x.example"}]}', mtime=0), "JSON, not CSV"),
        (b"PK\x03\x04 jane@x.example", "spreadsheet"),
        (b"\xd0\xcf\x11\xe0 jane@x.example", "spreadsheet"),
        (b"SQLite format 3\0 jane@x.example", "SQLite"),
        (b"<table><tr><td>jane@x.example", "HTML"),
        (b"jane@x.example,4c1d,1786314349\nu-2,x,y\n", "no column 'account'"),
        (b"u-1,jane@x.example,4c1d\n", "is there a header line?"),
    ],
)
def test_other_kinds_of_file_are_named_and_never_shown(tmp_path: Path, data: bytes, told: str) -> None:
    message = refusal(tmp_path / "a.csv", data)
    assert told in message and not any(secret in message for secret in ("jane", "u-1", "4c1d", "17863"))


SECRET = "sëcret"
#: What stands in a cell: half of it may be read as something.
CELLS = st.one_of(
    st.text(alphabet="0123456789abc@./:-+,;\"' \n\t{}[]", max_size=8),
    st.sampled_from(["1.2E+11", "2026-01-01", "yes", "N/A", "1/2/2026", "null", ""]),
).map(lambda t: f"{SECRET}{t}{SECRET}" if len(t) % 2 else t)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    header=st.lists(st.one_of(st.sampled_from([*columns.KNOWN, "created", "user_id", "card"]), CELLS), max_size=6),
    rows=st.lists(st.lists(CELLS, max_size=7), max_size=5),
    cut=st.sampled_from([",", ";", "\t"]),
)
def test_no_cell_is_in_any_message(tmp_path: Path, header: list[str], rows: list[list[str]], cut: str) -> None:
    header = [h for h in header if SECRET not in h or "account" not in header]  # names of columns may be told, cells never
    data = "\n".join(cut.join(f'"{c}"' if "\n" in c else c for c in row) for row in [header, *rows])
    quarantine = Quarantine.memory()
    (tmp_path / "a.csv").write_text(data, encoding="utf-8")
    said: list[str] = []
    try:
        table, report = read_accounts(tmp_path / "a.csv", Identity(KEY), quarantine)
        said.append(repr(report))
        said += overlap({"log-account"}, table.column("account").to_pylist()).check(tmp_path / "a.csv")
    except IntakeError as error:
        said.append(str(error))
    said += [str(e) for e in quarantine.entries]
    assert SECRET not in "".join(said)


# --- overlap


def test_a_log_and_a_file_that_never_meet_are_refused_with_shortened_ids(tmp_path: Path) -> None:
    log, file = {f"u-{i:04d}-rest" for i in range(652)}, {f"xu-{i:04d}-rest" for i in range(652)}
    with pytest.raises(IntakeError) as error:
        overlap(log, file).check(tmp_path / "a.csv")
    told = str(error.value)
    assert "0 of 652 accounts of the log are in the file; ids look like `xu-0…" in told and "`u-0…" in told
    assert "u-0000" not in told and "--column account=" in told
    keyed = {Identity(KEY).account(f"jane{i}@x.example") or "" for i in range(9)}
    with pytest.raises(IntakeError, match="like `a mail address` there"):
        overlap(log, keyed).check(tmp_path / "a.csv")


def test_few_that_meet_are_told_and_half_are_enough(tmp_path: Path) -> None:
    log = {f"u-{i}" for i in range(10)}
    few = overlap(log, {f"u-{i}" for i in range(4)})
    assert few.both == 4 and "4 of 10 accounts of the log are in the file" in few.check(tmp_path / "a.csv")[0]
    assert overlap(log, {f"u-{i}" for i in range(5)}).check(tmp_path / "a.csv") == ()
    assert overlap(log, set()).check(tmp_path / "a.csv") == () == overlap(set(), log).check(tmp_path / "a.csv")


@pytest.mark.parametrize("slip", [str.upper, lambda a: f"{a}.0", lambda a: f"00{a}", lambda a: f"user:{a}", lambda a: f'"{a}"'])
def test_a_slip_that_keeps_ids_apart_is_told(tmp_path: Path, slip: Callable[[str], str]) -> None:
    log = {f"abc{i}def" for i in range(20)}
    with pytest.raises(IntakeError, match="20 would be if "):
        overlap(log, {slip(a) for a in log}).check(tmp_path / "a.csv")


@given(st.sets(st.text(max_size=20)), st.sets(st.text(max_size=20)))
def test_overlap_counts_and_shows_little(log: set[str], file: set[str]) -> None:
    met = overlap(log, file)
    assert met.both == len(log & file)
    for shown in (*met.log_ids, *met.file_ids):
        assert shown == "a mail address" or len(shown.split("…")[0]) <= 4


# --- in clear, for blinding


def test_clear_values_are_read_as_the_references_are(tmp_path: Path) -> None:
    path, a = tmp_path / "a.csv", Identity(KEY)
    path.write_text(
        "Account;E-Mail;Payment Fingerprint;payment_par;created_at\njane@x.example;jane@x.example;C-1;par-1;\nu-2;b@y.example;N/A;;\nu-3;;C-3;;\n"
    )
    jane = a.account("JANE@x.example")
    rows, report = clear_values(path, a, Quarantine.memory(), [str(jane), "u-2", "u-9"])
    assert [tuple(r) for r in rows] == [(jane, "C-1", "par-1", "jane@x.example"), ("u-2", None, None, "b@y.example")]
    table = read_accounts(path, a, Quarantine.memory())[0].to_pylist()
    assert a.ref("payment", rows[0].payment) == table[0]["payment_ref"] and a.ref("par", rows[0].par) == table[0]["par_ref"]
    with pytest.raises(IntakeError, match="0 of 1 accounts of the campaign"):
        clear_values(path, a, Quarantine.memory(), ["u-9"])
    assert not [n for n in report.notices if "of the campaign" in n]
