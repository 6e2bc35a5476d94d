"""Names over runs of ``detect``: the same ring, the same name, in every file that a run writes; whatever breaks."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.kit import QUIET, every_break
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.range import WorldSpec, build_world
from stillwatch.range.spec import Batch, Chat, Hackathon, Honest, Reseller, Ring
from stillwatch.share import release as door
from stillwatch.store.sqlite import DatabaseError
from stillwatch.watch.case import CaseFile, Run, Sighting
from stillwatch.watch.evidence import campaign_from_json, run_from_json
from stillwatch.watch.flow import Progress, Settings, detect

NOW = 1.79e9
SPEC = WorldSpec(
    honest=Honest(
        chat=Chat(accounts=120, tail=2.0),
        batch=Batch(keys=3, calls=20),
        hackathon=Hackathon(people=8),
        reseller=Reseller(users=10),
        **QUIET,
    ),
    campaigns=(Ring(name="hydra", accounts=14, calls=14),),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    build_world(SPEC, seed=3, out=out)
    return out


def rows(world: Path) -> list[bytes]:
    lines = gzip.open(world / "calls.jsonl.gz").read().splitlines(keepends=True)
    return sorted(lines, key=lambda row: float(json.loads(row)["startTime"]))


def run(world: Path, log: Path, out: Path, **more: object) -> list[str]:
    """Ids of the campaigns, after a check that all files agree on them."""
    case = detect(Settings([str(log)], out, world / "accounts.csv", world / "key", **more), Progress(), now=NOW)  # type: ignore[arg-type]
    ids = [json.loads(line)["id"] for line in (out / "campaigns.jsonl").read_text().splitlines()]
    assert ids == [c.id for c in case.campaigns]
    for name in ("attributed_calls.parquet", "accounts.parquet"):
        assert set(pq.read_table(out / name).column("campaign").to_pylist()) == set(ids)
    assert all(i in (out / "report.html").read_text() for i in ids)
    return ids


@pytest.mark.no_cover
@pytest.mark.slow
def test_a_ring_keeps_its_name_while_the_log_grows_and_without_a_case_file_has_the_same(world: Path, tmp_path: Path) -> None:
    lines = rows(world)
    names = []
    for part in (2, 3, 4):
        log = tmp_path / "log" / f"{part}.jsonl"
        log.parent.mkdir(exist_ok=True)
        log.write_bytes(b"".join(lines[(0 if part == 2 else (part - 1) * len(lines) // 4) : part * len(lines) // 4]))
        names.append(run(world, log.parent, tmp_path / "out", state=tmp_path / "state"))
    found = [n for n in names if n]
    assert len(found) >= 2
    assert {i for n in found for i in n} == {found[0][0]}
    whole, shuffled = tmp_path / "whole.jsonl", tmp_path / "shuffled.jsonl"
    whole.write_bytes(b"".join(lines))
    shuffled.write_bytes(b"".join(sorted(lines, key=lambda r: hashlib.sha256(r).digest())))
    assert run(world, whole, tmp_path / "alone") == found[0]
    assert run(world, shuffled, tmp_path / "other") == found[0]
    assert run(world, whole, tmp_path / "alone") == found[0]
    with CaseFile(tmp_path / "state" / "case.db") as file:
        assert [e.what for e in file.history(found[0][0])] == ["found", *["seen"] * (len(found) - 1)]
    with CaseFile(tmp_path / "alone" / "case.db") as file:
        assert [e.what for e in file.history(found[0][0])] == ["found"]  # the same run again is the same run
    assert (tmp_path / "alone" / "case.db").stat().st_mode & 0o077 == 0


def test_custody_says_who_with_what_and_from_what_and_stays_at_home(world: Path, tmp_path: Path) -> None:
    settings = tmp_path / "stillwatch.toml"
    settings.write_text('memory = "2GB"\n')
    run(world, world / "calls.jsonl.gz", tmp_path / "out", by="Ana of trust and safety", config=settings)
    record = run_from_json(json.loads((tmp_path / "out" / "run.json").read_text()))
    assert record.custody is not None
    assert record.custody.by == "Ana of trust and safety"
    assert record.custody.ended >= record.started
    assert {"python", "duckdb", "pyarrow"} <= set(record.custody.versions)
    given = {str(i["file"]): (i.get("kind"), i["sha256"]) for i in record.inputs}
    for path, kind in ((world / "calls.jsonl.gz", None), (world / "accounts.csv", "accounts"), (settings, "settings")):
        assert given[path.name] == (kind, hashlib.sha256(path.read_bytes()).hexdigest())
    (line,) = (tmp_path / "out" / "campaigns.jsonl").read_text().splitlines()
    assert "Ana" not in line
    assert "Ana" not in json.dumps(door.scrubbed(campaign_from_json(json.loads(line))))
    run(world, world / "calls.jsonl.gz", tmp_path / "unnamed")
    unnamed = run_from_json(json.loads((tmp_path / "unnamed" / "run.json").read_text())).custody
    assert unnamed is not None
    assert unnamed.by


def test_explain_says_what_became_of_a_campaign_of_an_earlier_run(world: Path, tmp_path: Path) -> None:
    (now,) = run(world, world / "calls.jsonl.gz", tmp_path / "out", state=tmp_path / "state")
    with CaseFile(tmp_path / "state" / "case.db") as file:
        some = file.members(now)[:3]
        ((old, _),) = file.name(
            Run("earlier", NOW, "ana", "0", []), [Sighting("ring", frozenset(["x", "y", "z", *some[:1]]), frozenset(), "x", 1.0, 2.0)]
        )
        file.name(
            Run("joined", NOW, "ana", "0", []),
            [Sighting("ring", frozenset(["x", "y", "z", *file.members(now)]), frozenset(), "x", 1.0, 2.0)],
        )
    done = CliRunner().invoke(app, ["explain", str(tmp_path / "out"), old])
    assert done.exit_code == 0, done.output
    assert f"joined into {now}" in done.output
    done = CliRunner().invoke(app, ["explain", str(tmp_path / "out"), "c-none"])
    assert done.exit_code == 2


def test_a_case_file_that_cannot_be_used_ends_the_run_before_anything_is_written(world: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "case.db").write_text("not a database, and somebody may want it still\n" * 40)
    with pytest.raises(DatabaseError, match=r"case\.db: no SQLite file"):
        run(world, world / "calls.jsonl.gz", tmp_path / "out")
    assert not (tmp_path / "out" / "campaigns.jsonl").exists()
    assert not list((tmp_path / "out").glob(".work-*"))


@pytest.mark.no_cover
@pytest.mark.slow
def test_a_run_killed_at_any_write_and_done_again_is_as_if_it_had_not_been(world: Path, tmp_path: Path) -> None:
    lines = rows(world)
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    one.write_bytes(b"".join(lines[: len(lines) * 3 // 4]))
    two.write_bytes(b"".join(lines[len(lines) * 3 // 4 :]))
    (name,) = run(world, one, tmp_path / "out", state=tmp_path / "state")

    def fresh(label: str) -> Path:
        for kind in ("out", "state"):
            shutil.copytree(tmp_path / kind, tmp_path / label / kind)
        return tmp_path / label

    def go(folder: Path) -> Callable[[], list[str]]:
        return lambda: run(world, two, folder / "out", state=folder / "state", window=60.0)

    def results(folder: Path) -> list[object]:
        tables = [pq.read_table(folder / "out" / n) for n in ("attributed_calls.parquet", "accounts.parquet")]
        return [(folder / "out" / "campaigns.jsonl").read_text(), *(t.sort_by([(c, "ascending") for c in t.column_names]) for t in tables)]

    assert go(fresh("whole"))() == [name]
    wanted = results(tmp_path / "whole")
    broken = 0
    for n in every_break(lambda n: go(fresh(f"broken-{n}")), step=9):
        folder = tmp_path / f"broken-{n}"
        assert go(folder)() == [name], f"broken after write {n}"
        assert results(folder) == wanted, f"broken after write {n}"
        assert not list(folder.glob("*/.work-*"))
        broken += 1
    assert broken >= 4
