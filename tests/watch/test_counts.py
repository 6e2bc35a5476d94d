"""Counts agree everywhere: every number that two of a run's outputs give is the same in both."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from tests.kit import few_customers

from stillwatch.range import build_world
from stillwatch.records import Case
from stillwatch.watch.evidence import campaign_from_json, explain, render_report, run_from_json
from stillwatch.watch.evidence.summary import COLUMNS, sentences, table_rows
from stillwatch.watch.flow import Progress, Settings, detect

NOW = 1.79e9


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Case]:
    """A run with a ring, bad lines and a copy of a call, over two files."""
    here = tmp_path_factory.mktemp("counts")
    build_world(few_customers(), seed=11, out=here)
    lines = gzip.open(here / "calls.jsonl.gz", "rt").read().splitlines()
    half = len(lines) // 2
    (here / "one.jsonl").write_text("\n".join([*lines[:half], '{"id": "half', "[]"]))
    (here / "two.jsonl").write_text("\n".join([*lines[half:], '{"id": "no time", "model": "m"}', lines[0]]))
    header, *rows = (here / "accounts.csv").read_text().splitlines()
    (here / "people.csv").write_text("\n".join([header, f"{rows[0].split(',')[0]},yesterday", *rows, rows[1] + ",more,cells"]))
    out = here / "out"
    case = detect(Settings([str(here / "one.jsonl"), str(here / "two.jsonl")], out, here / "people.csv"), Progress(), now=NOW)
    return out, case


def numbers(pattern: str, text: str) -> tuple[int, ...]:
    found = re.search(pattern, text)
    assert found, pattern
    return tuple(int(n.replace(",", "")) for n in found.groups())


def test_every_number_that_occurs_twice_is_the_same(run: tuple[Path, Case]) -> None:
    out, case = run
    campaigns = [campaign_from_json(json.loads(line)) for line in (out / "campaigns.jsonl").read_text().splitlines()]
    record = run_from_json(json.loads((out / "run.json").read_text()))
    calls = pq.read_table(out / "attributed_calls.parquet").to_pylist()
    accounts = pq.read_table(out / "accounts.parquet").to_pylist()
    html = (out / "report.html").read_text()
    plain = " ".join(re.sub("<[^>]*>", " ", html[html.index("<main>") :]).split())
    assert campaigns
    assert tuple(campaigns) == case.campaigns
    assert record == case.run

    # Of each campaign: its line, its rows, its streams, its timeline, the report, the table, the explanation.
    assert Counter(r["campaign"] for r in calls) == {c.id: c.calls for c in campaigns}
    assert Counter(r["campaign"] for r in accounts) == {c.id: c.accounts for c in campaigns}
    by_account = Counter((r["campaign"], r["account"]) for r in calls)
    assert by_account == {(r["campaign"], r["account"]): r["attributed_calls"] for r in accounts}
    assert by_account == {(c.id, s.account): s.attributed_calls for c in campaigns for s in c.streams}
    assert {(r["campaign"], r["account"]): (r["calls"], r["bits"]) for r in accounts} == {
        (c.id, s.account): (s.calls, s.bits) for c in campaigns for s in c.streams
    }
    table = [dict(zip((name for name, _ in COLUMNS), row, strict=True)) for row in table_rows(case)]
    for c, row in zip(campaigns, table, strict=True):
        assert (c.first, c.last) == (min(s.first for s in c.streams), max(s.last for s in c.streams))
        assert sum(n for _, n in c.timeline) == c.calls
        assert c.calls_until_found is None or c.calls_until_found <= c.calls
        section = plain[plain.index(f"Campaign {c.id}") :]
        assert numbers(r"([\d,]+) accounts that present themselves as unrelated sent ([\d,]+) calls", section) == (c.accounts, c.calls)
        assert f"{c.bits:.1f} bits, " in section
        assert (row["campaign"], row["accounts"], row["calls"]) == (c.id, f"{c.accounts:,}", f"{c.calls:,}")
        assert row["bits"] == f"{c.bits:.1f}"
        assert abs(sum(r.bits for r in c.reasons) - c.bits) < 0.01 * (1 + len(c.reasons))
        console = Console(width=100, record=True, file=io.StringIO())
        console.print(explain(c, record))
        text = console.export_text()
        assert numbers(r"([\d,]+) accounts, ([\d,]+) calls", text) == (c.accounts, c.calls)
        for reason in c.reasons:
            assert f">{reason.id}</td>" in html
            assert reason.id in text
            assert set(reason.calls) <= {r["call_id"] for r in calls if r["campaign"] == c.id}

    # Of the run: its record, the inputs' own counts, quarantine, the report's first lines, the terminal.
    said = "\n".join(sentences(case))
    assert numbers(r"found among ([\d,]+) accounts and ([\d,]+) calls", plain) == (record.accounts, record.calls)
    assert numbers(r"calls\. ([\d,]+) calls of ([\d,]+) accounts belong", plain) == (len(calls), len({r["account"] for r in calls}))
    assert numbers(r"^([\d,]+) calls of ([\d,]+) accounts read", said) == (record.calls, record.accounts)
    assert sum(int(str(i.get("calls", 0))) for i in record.inputs) == record.calls + record.copies
    quarantined = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert record.rejected == len(quarantined) == 6
    assert record.copies == sum(q["field"] == "id" and q["reason"].startswith("repeated") for q in quarantined) == 1
    people = (out.parent / "people.csv").read_text().splitlines()
    theirs = [(q["line"], q["field"]) for q in quarantined if q["file"].endswith("people.csv")]
    assert theirs == [(len(people), ""), (2, "account")], "of a repeated account the row that is not used"
    assert sum(int(str(i.get("rejected", 0))) for i in record.inputs) == record.rejected - record.copies
    for text in (plain, said):
        assert numbers(r"([\d,]+) rows of ([\d,]+) \(under 1 %\) could not be used", text) == (3, record.calls + 4)
        assert "1 line repeats a call that was seen already" in text
        assert numbers(r"1 row of ([\d,]+) of people.csv could not be used", text) == (len(people) - 1,)
        assert numbers(r"people.csv: 1 of ([\d,]+) rows names an account that a later row names again", text) == (len(people) - 1,)
    for i in record.inputs:
        assert str(i["sha256"]) in html
    assert numbers(r"Tests, of groups and of lone accounts: ([\d,]+)", plain) == (record.units_tested,)


def test_a_long_list_agrees_with_the_page(run: tuple[Path, Case]) -> None:
    _, case = run
    many = Case(case.run, case.campaigns * 2)
    report = render_report(many, generated_at=NOW)
    assert report.files == {}  # 30 accounts a list
    streams = case.campaigns[0].streams * 2
    long = type(case.campaigns[0])(**{f: getattr(case.campaigns[0], f) for f in case.campaigns[0].__slots__} | {"streams": streams})
    body = render_report(Case(case.run, (long,)), generated_at=NOW).files["report-accounts.csv"].decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(body)))
    assert [(r["account"], int(r["attributed_calls"])) for r in rows] == [(s.account, s.attributed_calls) for s in streams]


def test_unknown_fields_are_noticed_without_an_accounts_file(run: tuple[Path, Case], tmp_path: Path) -> None:
    out, case = run
    assert not [n for n in case.run.notices if n.code.startswith("unknown-")]
    log = out.parent / "calls.jsonl.gz"
    without = detect(Settings([str(log)], tmp_path), Progress(), now=NOW).run
    share = {n.code: n.share for n in without.notices if n.unjudged}
    assert share == {"unknown-payment": 1.0, "unknown-registration": 1.0, "unknown-verification": 1.0}
    html = (tmp_path / "report.html").read_text()
    for n in without.notices:
        assert n.text in html


def test_a_shorter_run_takes_the_longer_ones_files_away(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    out = tmp_path / "out"
    for i in range(51):
        (tmp_path / f"part-{i}.jsonl").write_text("")
    detect(Settings([str(tmp_path / "part-*.jsonl")], out), Progress(), now=NOW)
    listed = list(csv.DictReader(io.StringIO((out / "report-inputs.csv").read_text(encoding="utf-8-sig"))))
    assert sorted(r["file"] for r in listed) == sorted(f"part-{i}.jsonl" for i in range(51))
    detect(Settings([str(tmp_path / "empty.jsonl")], out), Progress(), now=NOW)
    assert not (out / "report-inputs.csv").exists()
