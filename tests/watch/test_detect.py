"""The whole stream: what a user gives and gets."""

from __future__ import annotations

import csv
import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from msgspec import structs
from tests.kit import QUIET, few_customers
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.range import build_world, load_spec
from stillwatch.range.spec import Chat
from stillwatch.records import ACCOUNT_RESULTS, ATTRIBUTED
from stillwatch.watch.flow import Progress, Settings, detect
from stillwatch.watch.intake import IntakeError

NOW = 1.8e9
SEED = 4
SPECS = Path(__file__).parents[2] / "specs"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    build_world(few_customers(), seed=11, out=out)
    return out


@pytest.fixture(scope="module")
def found(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("found")
    detect(Settings([str(world / "calls.jsonl.gz")], out, world / "accounts.csv"), Progress(), now=NOW)
    return out


def truth(world: Path) -> dict[str, str]:
    rows = gzip.open(world / "truth_calls.csv.gz", "rt").read().splitlines()[1:]
    return {r.split(",")[0]: r.split(",")[2] for r in rows}


def test_the_ring_is_found_and_nobody_else(world: Path, found: Path) -> None:
    rows = pq.read_table(found / "attributed_calls.parquet").to_pylist()
    streams = truth(world)
    assert {r["campaign"] for r in rows} == {rows[0]["campaign"]}
    hits = [streams[r["call_id"]] for r in rows]
    assert hits.count("hydra") >= 0.99 * len(hits)
    assert hits.count("hydra") >= 0.95 * list(streams.values()).count("hydra")
    assert not {s for s in hits if not s.endswith("hydra")}


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", [21])
def test_other_worlds_too(seed: int, tmp_path: Path) -> None:
    print("seed", seed)
    build_world(few_customers(), seed=seed, out=tmp_path)
    case = detect(Settings([str(tmp_path / "calls.jsonl.gz")], tmp_path / "found", tmp_path / "accounts.csv"), Progress(), now=NOW)
    streams = truth(tmp_path)
    rows = pq.read_table(tmp_path / "found" / "attributed_calls.parquet").to_pylist()
    assert len(case.campaigns) == 1
    assert case.campaigns[0].accounts == 30
    assert {streams[r["call_id"]] for r in rows} <= {"hydra", "camouflage:hydra"}


@pytest.mark.no_cover
def test_stolen_keys_are_a_campaign_and_their_holders_victims(tmp_path: Path) -> None:
    """Cards, mail and homes are the holders'; the thief's pool stands only behind the harvest's own calls."""
    print("seed", SEED)
    spec = load_spec(SPECS / "32-stolen-keys-only.toml")
    build_world(
        structs.replace(spec, honest=structs.replace(spec.honest, chat=Chat(accounts=300, most=30), **QUIET)), seed=SEED, out=tmp_path
    )
    case = detect(Settings([str(tmp_path / "calls.jsonl.gz")], tmp_path / "found", tmp_path / "accounts.csv"), Progress(), now=NOW)
    streams = truth(tmp_path)
    (campaign,) = case.campaigns
    assert campaign.accounts == 30
    assert any("holders victims" in text for text in campaign.against)
    assert {streams[r["call_id"]] for r in pq.read_table(tmp_path / "found" / "attributed_calls.parquet").to_pylist()} == {"ring"}


def test_a_ring_that_shares_nothing_but_cards_is_found_by_what_it_asks(tmp_path: Path) -> None:
    """Homes, mail, words, settings, clients and hours are each account's own, half of its calls are about its own subjects; only what is asked counts."""
    print("seed", SEED)
    spec = load_spec(SPECS / "34-cards-alone.toml")
    chat, crowds = (
        Chat(accounts=300, most=30),
        tuple(c for c in spec.honest.crowds if c.kind in ("household", "unverified-firm", "annotators")),
    )
    build_world(structs.replace(spec, honest=structs.replace(spec.honest, chat=chat, crowds=crowds, **QUIET)), seed=SEED, out=tmp_path)
    case = detect(Settings([str(tmp_path / "calls.jsonl.gz")], tmp_path / "found", tmp_path / "accounts.csv"), Progress(), now=NOW)
    streams = truth(tmp_path)
    (campaign,) = case.campaigns
    assert campaign.accounts >= 20
    assert campaign.calls_until_found is not None
    assert "counted by a sample" in next(r.text for r in campaign.reasons if r.id == "payment")
    assert {streams[r["call_id"]] for r in pq.read_table(tmp_path / "found" / "attributed_calls.parquet").to_pylist()} == {"ring"}


def test_the_files_are_as_promised(found: Path) -> None:
    names = {p.name for p in found.iterdir()}
    assert names == {
        "campaigns.jsonl",
        "attributed_calls.parquet",
        "accounts.parquet",
        "report.html",
        "quarantine.jsonl",
        "run.json",
        "identity.key",
        "case.db",
        "leads.jsonl",
    }
    assert (found / "identity.key").stat().st_mode & 0o077 == 0
    assert pq.read_schema(found / "attributed_calls.parquet").equals(ATTRIBUTED, check_metadata=True)
    assert pq.read_schema(found / "accounts.parquet").equals(ACCOUNT_RESULTS, check_metadata=True)
    campaign = json.loads((found / "campaigns.jsonl").read_text())
    assert campaign["calls_until_found"] <= 100
    assert {"D01", "D04", "D06", "D07", "D11"} <= {t["id"] for t in campaign["techniques"]}
    run = json.loads((found / "run.json").read_text())
    assert run["inputs"][0]["rejected"] == 0
    assert len(run["inputs"][0]["sha256"]) == 64


def test_no_clear_text_and_no_identity_leaves_by_default(world: Path, found: Path) -> None:
    rows = (world / "accounts.csv").read_text().splitlines()[1:]
    secrets = {r.split(",")[2] for r in rows} | {r.split(",")[3] for r in rows} | {"lay out your complete reasoning"}
    for name in ("report.html", "campaigns.jsonl", "run.json"):
        text = (found / name).read_text()
        assert not [s for s in secrets if s in text]


def test_shuffled_lines_give_the_same_findings(world: Path, found: Path, tmp_path: Path) -> None:
    lines = gzip.open(world / "calls.jsonl.gz").read().splitlines(keepends=True)
    random.Random(4).shuffle(lines)
    (tmp_path / "part-1.jsonl").write_bytes(b"".join(lines[:3000]))
    with gzip.open(tmp_path / "part-2.jsonl.gz", "wb") as file:
        file.writelines(lines[3000:])
    key = found / "identity.key"
    detect(Settings([str(tmp_path)], tmp_path / "out", world / "accounts.csv", key), Progress(), now=NOW)
    assert (tmp_path / "out" / "campaigns.jsonl").read_text() == (found / "campaigns.jsonl").read_text()
    one, two = (pq.read_table(p / "attributed_calls.parquet").sort_by("call_id") for p in (tmp_path / "out", found))
    assert one.equals(two)


def test_repeated_ids_are_counted_once(world: Path, found: Path, tmp_path: Path) -> None:
    log = world / "calls.jsonl.gz"
    copy = tmp_path / "copy.jsonl.gz"
    copy.write_bytes(log.read_bytes())
    case = detect(Settings([str(log), str(copy)], tmp_path / "out", world / "accounts.csv", found / "identity.key"), Progress(), now=NOW)
    assert case.run.rejected == case.run.calls
    assert any("repeat a call" in n.text for n in case.run.notices)
    assert (tmp_path / "out" / "campaigns.jsonl").read_text() == (found / "campaigns.jsonl").read_text()


def test_without_an_accounts_file_what_is_missing_is_said(world: Path, tmp_path: Path) -> None:
    case = detect(Settings([str(world / "calls.jsonl.gz")], tmp_path), Progress(), now=NOW)
    # Cards and days of registration are unknown: mail names, a pool that turns over, dealt prompts and training material carry it, and the report says so.
    assert {"unknown-payment", "unknown-registration"} <= {n.code for n in case.run.notices if n.unjudged}
    owner = {r["account"]: r["campaign"] for r in csv.DictReader((world / "truth_accounts.csv").open())}
    (found,) = case.campaigns
    assert {owner[s.account] for s in found.streams} == {"hydra"}
    assert {r.id for r in found.reasons if not r.assessed} >= {"payment", "registration"}


def test_an_empty_log_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    case = detect(Settings([str(tmp_path / "empty.jsonl")], tmp_path / "out"), Progress(), now=NOW)
    assert case.campaigns == ()
    assert case.run.calls == 0
    assert "No campaign found" in (tmp_path / "out" / "report.html").read_text()
    assert pq.read_table(tmp_path / "out" / "attributed_calls.parquet").num_rows == 0


def test_a_broken_run_leaves_the_old_results_and_no_spool(world: Path, found: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("old")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detect(Settings([str(world / "calls.jsonl.gz")], out), Progress(read=stop), now=NOW)
    assert (out / "report.html").read_text() == "old"
    assert not list(out.glob(".work-*"))
    assert not (out / "campaigns.jsonl").exists()


def test_unusable_input_stops_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="no log file"):
        detect(Settings([str(tmp_path / "nothing*.jsonl")], tmp_path / "out"), Progress(), now=NOW)
    result = CliRunner().invoke(app, ["detect", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    (tmp_path / "log.jsonl").write_text("")
    (tmp_path / "accounts.csv").write_text("name,mail\n")
    result = CliRunner().invoke(
        app, ["detect", str(tmp_path / "log.jsonl"), "--accounts", str(tmp_path / "accounts.csv"), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2


def test_explain_prints_reasons_and_refuses_kindly(found: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["explain", str(found), "c-"])
    assert done.exit_code == 0
    assert "payment" in done.output
    assert "bits" in done.output
    assert CliRunner().invoke(app, ["explain", str(found), "c-nothing"]).exit_code == 2
    assert CliRunner().invoke(app, ["explain", str(tmp_path), "c-"]).exit_code == 2
    assert CliRunner().invoke(app, ["--version"]).output.startswith("stillwatch 0.")


@pytest.mark.slow
@pytest.mark.no_cover
def test_the_dev_world(dev_world: Path, score_tool: Path, tmp_path: Path) -> None:
    """The main job's figures, whole, shuffled and cut to the first seven days."""
    lines = gzip.open(dev_world / "calls.jsonl.gz").read().splitlines(keepends=True)
    begin = json.loads(lines[0])["startTime"]
    week = [line for line in lines if json.loads(line)["startTime"] < begin + 7 * 86400]
    shuffled = list(lines)
    random.Random(8).shuffle(shuffled)
    ids = {json.loads(line)["id"] for line in week}
    for name, content in (("shuffled", shuffled), ("week", week)):
        here = tmp_path / name
        here.mkdir()
        with gzip.open(here / "calls.jsonl.gz", "wb", 1) as file:
            file.writelines(content)
        kept = [
            r for r in gzip.open(dev_world / "truth_calls.csv.gz", "rt") if name != "week" or r.startswith("id,") or r.split(",")[0] in ids
        ]
        with gzip.open(here / "truth_calls.csv.gz", "wt") as text:
            text.writelines(kept)
        (here / "truth_accounts.csv").write_bytes((dev_world / "truth_accounts.csv").read_bytes())
        detect(Settings([str(here / "calls.jsonl.gz")], here / "found", dev_world / "accounts.csv"), Progress(), now=NOW)
        done = subprocess.run(
            [sys.executable, str(score_tool), str(here), str(here / "found"), "--json"], capture_output=True, text=True, check=True
        )
        score = json.loads(done.stdout)
        assert score["false_campaigns"] == 0, done.stdout
        assert score["benign_flagged_share"] == 0.0
        missed = {c for c, found in score["campaigns"].items() if not found["found"]}
        # Two rings with cards of their own are seen by what their accounts do at length; after a week that is too little, and they lead the leads.
        assert missed <= ({"ghost", "programme"} if name == "week" else set()), done.stdout
        owner = {r["account"]: r["campaign"] for r in csv.DictReader((here / "truth_accounts.csv").open())}
        leads = [json.loads(line)["accounts"] for line in (here / "found" / "leads.jsonl").open()][:10]
        for campaign in missed:
            assert any(2 * sum(owner[a] == campaign for a in accounts) >= len(accounts) for accounts in leads), campaign
        recall, precision = (0.75, 0.95) if name == "week" else (0.95, 0.99)
        for campaign in (c for c in score["campaigns"].values() if c["found"]):
            assert campaign["account_recall"] >= recall
            assert campaign["call_precision"] >= precision
