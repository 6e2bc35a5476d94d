"""``detect`` with accounts files as people have them: what it says, and with which exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stillwatch.cli.main import app

ACCOUNTS = [f"user-{i:03d}" for i in range(12)]
COLUMNS = "account,created_at,email,payment_fingerprint,plan,programme,org,verified"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "calls.jsonl"
    lines = [
        {
            "id": f"c{n}",
            "startTime": 1.78e9 + n,
            "endTime": 1.78e9 + n + 1,
            "metadata": {"user_api_key_user_id": account},
            "messages": [{"role": "user", "content": f"a question about {n} things, the answer to which is {n * n}"}],
        }
        for n, account in enumerate(ACCOUNTS * 3)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def detect(log: Path, folder: Path, accounts: str, *more: str) -> tuple[int, str, dict[str, Any]]:
    (folder / "people.csv").write_text(accounts)
    done = CliRunner().invoke(
        app, ["detect", str(log), "--accounts", str(folder / "people.csv"), "--out", str(folder / "out"), *more], env={"COLUMNS": "400"}
    )
    run = folder / "out" / "run.json"
    return done.exit_code, done.output, json.loads(run.read_text()) if run.exists() else {}


def told(run: dict[str, Any]) -> list[str]:
    """What a run says of the accounts file."""
    return [n["text"] for n in run["notices"] if n["code"] in ("accounts", "overlap")]


def people(header: str = COLUMNS, names: list[str] = ACCOUNTS) -> str:
    return "\n".join([header, *(f"{a},1779000000,{a}@x{i}.example,card-{i},p,,,1" for i, a in enumerate(names))]) + "\n"


def test_a_usual_file_needs_no_word(log: Path, tmp_path: Path) -> None:
    code, said, run = detect(log, tmp_path, people())
    assert code == 0 and "people.csv" not in said and told(run) == []


def test_columns_of_other_names_are_told_and_given(log: Path, tmp_path: Path) -> None:
    theirs = COLUMNS.replace("created_at", "signup").replace("payment_fingerprint", "card_fingerprint")
    code, said, run = detect(log, tmp_path, people(theirs))
    assert code == 0 and "--column created_at=signup" in said and any("card_fingerprint looks like" in n for n in told(run))
    given = ("--column", "created_at=signup", "--column", "payment_fingerprint=card_fingerprint")
    code, said, run = detect(log, tmp_path, people(theirs), *given)
    assert code == 0 and told(run) == [] and "--column created_at=signup" in run["command"]
    code, said, _ = detect(log, tmp_path, people(theirs), "--column", "creatd_at=signup")
    assert code == 2 and "did you mean created_at" in said


def test_ids_that_never_meet_end_the_run_and_few_are_told(log: Path, tmp_path: Path) -> None:
    code, said, run = detect(log, tmp_path, people(names=[f"other-{a}" for a in ACCOUNTS]))
    assert code == 2 and "0 of 12 accounts of the log are in the file" in said and not run
    assert not any(a in said for a in ACCOUNTS)
    code, said, run = detect(log, tmp_path, people(names=ACCOUNTS[:5]))
    assert code == 0 and any("5 of 12 accounts of the log are in the file" in n for n in told(run))
    code, _, run = detect(log, tmp_path, people(names=[]))
    assert code == 0 and any("a header and no rows" in n for n in told(run))


def test_fields_that_cannot_be_read_are_told_and_no_row_is_lost(log: Path, tmp_path: Path) -> None:
    rows = people().replace("1779000000", "soon", 3).replace(",1\n", ",perhaps\n", 2)
    code, said, run = detect(log, tmp_path, rows)
    assert code == 0 and run["rejected"] == 0 and "rows could not be used" not in said
    assert "created_at: 3 of 12 accounts" in said and "verified: 2 of 12 accounts" in said
    entries = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()]
    assert {(e["line"], e["field"]) for e in entries} == {
        (2, "created_at"),
        (3, "created_at"),
        (4, "created_at"),
        (2, "verified"),
        (3, "verified"),
    }
    assert "soon" not in str(entries) + said and "perhaps" not in str(entries) + said


def test_a_file_of_another_kind_ends_the_run_without_showing_it(log: Path, tmp_path: Path) -> None:
    code, said, _ = detect(log, tmp_path, json.dumps([{"account": "user-001", "email": "jane@x.example"}]))
    assert code == 2 and "JSON, not CSV" in said and "jane" not in said
