"""The range as a user runs it."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.range.score import score_world
from stillwatch.records import ATTRIBUTED

SPEC = """
name = "small"
days = 4
[honest.chat]
accounts = 120
[[campaigns]]
name = "ring"
accounts = 20
calls = 20
[play]
budget = 300
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SPEC)
    return path


def test_build_detect_score(spec: Path, tmp_path: Path) -> None:
    run = CliRunner()
    world, found = tmp_path / "world", tmp_path / "found"
    built = run.invoke(app, ["range", "build", str(spec), "--out", str(world), "--seed", "5"])
    assert built.exit_code == 0, built.output
    assert "20 of them in campaigns; seed 5" in built.output
    assert (
        run.invoke(app, ["detect", str(world / "calls.jsonl.gz"), "--accounts", str(world / "accounts.csv"), "--out", str(found)]).exit_code
        == 0
    )
    scored = json.loads(run.invoke(app, ["range", "score", str(world), str(found), "--json"]).output)
    assert scored["campaigns"][0]["found"]
    assert scored["honest_flagged"] == {}
    assert "1 of 1 campaigns found" in run.invoke(app, ["range", "score", str(world), str(found)]).output


@pytest.mark.slow
def test_play_writes_a_page(spec: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["range", "play", str(spec), "--out", str(tmp_path / "play")])
    assert done.exit_code == 0, done.output
    assert "with Stillwatch" in done.output
    result = json.loads((tmp_path / "play" / "play.json").read_text())
    assert result["with"]["days"][-1]["spent"] > 1.5 * result["without"]["days"][-1]["spent"]
    assert (tmp_path / "play" / "play.html").read_text().startswith("<!doctype html>")
    assert {p.name for p in (tmp_path / "play").iterdir()} == {"play.json", "play.html"}


def test_what_cannot_be_used_is_said_in_a_line(spec: Path, tmp_path: Path) -> None:
    run = CliRunner()
    spec.write_text(SPEC.replace("accounts = 20\n", 'accounts = "many"\n'))
    for arguments, words in (
        (["range", "build", str(spec), "--out", str(tmp_path / "w")], "accounts"),
        (["range", "build", str(tmp_path / "none.toml"), "--out", str(tmp_path / "w")], "cannot be read"),
        (["range", "score", str(tmp_path), str(tmp_path)], "no truth"),
    ):
        done = run.invoke(app, arguments)
        assert done.exit_code == 2
        assert words in done.output
        assert "Traceback" not in done.output


def test_scores_are_those_of_counting_by_hand(tmp_path: Path) -> None:
    """Two campaigns; one found with two of its three accounts and one stranger, the other not; one invented."""
    truth = {"a1": "x", "a2": "x", "a3": "x", "b1": "y", "c1": "chat", "c2": "chat", "a4": "camouflage:x"}
    account = {"a1": "A", "a2": "B", "a3": "C", "b1": "D", "c1": "E", "c2": "F", "a4": "A"}
    with gzip.open(tmp_path / "truth_calls.csv.gz", "wt") as text:
        csv.writer(text).writerows([("id", "account", "stream"), *((i, account[i], s) for i, s in truth.items())])
    with (tmp_path / "truth_accounts.csv").open("w") as text:
        csv.writer(text).writerows([("account", "cls", "campaign", "role"), *((a, "campaign", "x", "mixed") for a in "ABC"), ("D", "campaign", "y", "pure"), ("E", "chat", "", ""), ("F", "chat", "", "")])  # fmt: skip
    rows = [("a1", "1"), ("a2", "1"), ("a4", "1"), ("c1", "2")]
    pq.write_table(pa.Table.from_pylist([{"call_id": i, "account": account[i], "campaign": c, "bits": 1.0} for i, c in rows], schema=ATTRIBUTED), tmp_path / "attributed_calls.parquet")  # fmt: skip
    score = score_world(tmp_path, tmp_path)
    x, y = score.campaigns
    assert (x.found, x.account_recall, x.call_recall, x.call_precision) == (True, 2 / 3, 2 / 3, 2 / 3)
    assert (y.found, y.account_recall) == (False, 0.0)
    assert score.false_campaigns == 1
    assert score.honest_flagged == {"chat": 1}
    assert (score.camouflage, score.camouflage_flagged) == (1, 1)
