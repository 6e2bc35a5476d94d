"""The case file on the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.watch.case.test_names import ring
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.watch.case import CaseFile, Run


def said(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["case", *words])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def found(tmp_path: Path) -> Path:
    """Results whose case file knows a small ring that was joined to a large one."""
    with CaseFile(tmp_path / "case.db") as file:
        ((small, _), (large, _)) = file.name(Run("1", 1.79e9, "ana", "0", []), [ring(1, 2, 3), ring(*range(10, 20))])
        file.name(Run("2", 1.79e9 + 86400, "ana", "0", []), [ring(1, 2, 3, *range(10, 20))])
    (tmp_path / "names").write_text(f"{small} {large}")
    (tmp_path / "campaigns.jsonl").write_text(json.dumps({"id": large}) + "\n")
    return tmp_path


def test_list_show_and_decide(found: Path) -> None:
    small, large = (found / "names").read_text().split()
    first, second = said("list", str(found)).splitlines()
    assert first.startswith(f"{large}  ring, last seen 2026-09-22: 13 accounts")
    assert second.startswith(small)
    assert f"joined into {large}" in second
    assert [r.split("  ")[-1] for r in said("show", str(found), small).splitlines()[1:]] == [
        "found: 3 accounts, 0 calls, 0.0 bits",
        f"joined into {large}",
    ]
    assert f"took in {small}" in said("show", str(found), large)
    digest = hashlib.sha256(json.dumps({"id": large}).encode()).hexdigest()
    assert digest in said("decide", str(found), large, "--action", "block", "--by", "ana", "--reason", "one hand")
    assert "decision: block, by ana: one hand" in said("show", str(found), large[:8])
    shown = json.loads(said("show", str(found), large, "--json"))
    assert shown["decisions"][0]["evidence"] == digest
    assert [c["decision"] for c in json.loads(said("list", str(found), "--json"))["campaigns"]] == ["block", None]


def test_nothing_is_blocked_without_evidence_of_ones_own(found: Path) -> None:
    small, _ = (found / "names").read_text().split()
    assert "needs evidence of your own" in said("decide", str(found), small, "--action", "block", "--by", "ana", "--reason", "why", code=2)
    assert "evidence none named" in said("decide", str(found), small, "--action", "watch", "--by", "ana", "--reason", "why")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("show", "{dir}", "c-none"), "no campaign of that name"),
        (("show", "{dir}", "c-"), "more than one campaign"),
        (("list", "{dir}/nowhere"), "no case file there"),
        (("decide", "{dir}", "{id}", "--action", "shoot", "--by", "ana", "--reason", "why"), "no action"),
        (("decide", "{dir}", "{id}", "--action", "none", "--by", "", "--reason", "why"), "who took it"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(found: Path, words: tuple[str, ...], why: str) -> None:
    small = (found / "names").read_text().split()[0]
    output = said(*(w.format(dir=found, id=small) for w in words), code=2)
    assert why in output
    assert len(output.strip().splitlines()) == 1


def test_a_damaged_case_file_is_said_in_one_line(found: Path) -> None:
    (found / "case.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert len(said("list", str(found), code=2).strip().splitlines()) == 1


def test_detect_says_in_one_line_that_the_case_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "case.db").write_text("somebody's notes\n" * 100)
    calls = [
        {"id": str(n), "startTime": 1.78e9 + n, "metadata": {"user_api_key_user_id": f"u{n}"}, "messages": f"question {n}"}
        for n in range(9)
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(c) + "\n" for c in calls))
    done = CliRunner().invoke(app, ["detect", str(log), "--out", str(tmp_path), "--by", "ana"])
    assert done.exit_code == 2
    assert f"{tmp_path / 'case.db'}: no SQLite file" in done.output
    (tmp_path / "case.db").unlink()
    assert CliRunner().invoke(app, ["detect", str(log), "--out", str(tmp_path), "--by", "ana"]).exit_code == 0
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["custody"]["by"] == "ana"
    assert "--by ana" in run["command"]


def test_results_name_the_case_file_of_their_state(found: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("out")
    (out / "run.json").write_text(json.dumps({"custody": {"case_file": str(found / "case.db")}}))
    assert said("list", str(out)) == said("list", str(found))
