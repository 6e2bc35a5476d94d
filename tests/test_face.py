"""The public face: tables, explanations, and no files unless asked."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

import stillwatch as sw
from stillwatch.range import build_world
from stillwatch.records import ACCOUNT_RESULTS, ATTRIBUTED, Lead, Notice
from stillwatch.watch.found import FoundError
from tests.kit import few_customers

#: After the worlds.
NOW = 1.7861e9


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    build_world(few_customers(), seed=11, out=out)
    return out


@pytest.fixture(scope="module")
def result(world: Path) -> sw.Result:
    return sw.detect(world / "calls.jsonl.gz", accounts=world / "accounts.csv", now=NOW)


def test_tables(result: sw.Result) -> None:
    assert result.campaigns.column("accounts").to_pylist() == [30]
    assert result.campaigns.column("campaign").to_pylist() == [c.id for c in result.case.campaigns]
    assert result.streams.schema.equals(ACCOUNT_RESULTS)
    assert result.streams.num_rows == 30
    assert result.calls.schema.equals(ATTRIBUTED)
    assert result.calls.num_rows == result.campaigns.column("calls")[0].as_py()
    assert result.campaigns.column("first")[0].as_py().year == 2026
    assert result.run.calls > 3_000


def test_nothing_is_left_on_disk_unless_asked(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    done = sw.detect(["empty.jsonl"]).run
    assert done.custody
    assert done.custody.case_file == ""
    assert {p.name for p in tmp_path.rglob("*")} == {"temporary", "empty.jsonl"}
    sw.detect("empty.jsonl", out="found")
    assert (tmp_path / "found" / "report.html").exists()


def test_explain(result: sw.Result, world: Path, tmp_path: Path) -> None:
    ident = result.case.campaigns[0].id
    assert f"Campaign {ident}" in str(result.explain("c-"))
    assert str(sw.explain(result, ident)) == str(result.explain(ident))
    assert "<pre>Campaign" in result.explain("c-")._repr_html_()
    with pytest.raises(FoundError, match="no campaign of that id"):
        result.explain("nothing")
    with pytest.raises(FoundError, match="not there"):
        sw.explain(tmp_path, "c-")


def test_results_on_disk_explain_themselves_alike(world: Path, tmp_path: Path) -> None:
    made = sw.detect([str(world)], out=tmp_path, settings=sw.Settings(accounts=world / "accounts.csv"), now=NOW)
    assert str(sw.explain(tmp_path, "c-")) == str(made.explain("c-"))


def test_what_a_notebook_shows_is_escaped(result: sw.Result) -> None:
    hostile = "<script>alert(1)</script>\x1b"
    campaign = dataclasses.replace(result.case.campaigns[0], id=hostile)
    run = dataclasses.replace(result.run, notices=(Notice("note", hostile), Notice("no-text", "none has a text.", share=1.0, of="calls")))
    shown = dataclasses.replace(result, case=dataclasses.replace(result.case, run=run, campaigns=(campaign,)))._repr_html_()
    assert "<script>" not in shown
    assert "\x1b" not in shown
    assert shown.count("&lt;script&gt;") == 2
    assert "Not judged: none has a text." in shown


def test_leads_have_a_schema_with_and_without_rows(result: sw.Result) -> None:
    lead = Lead("l-1", {"hand": 3.0}, ("a", "b"), 7, (), 1.0, 2.0, "why", "why not", "settle")
    with_one = dataclasses.replace(result, case=dataclasses.replace(result.case, leads=(lead,))).leads
    assert with_one.num_rows == 1
    assert with_one.column("bits").to_pylist() == [[("hand", 3.0)]]
    assert isinstance(result.leads, pa.Table)
    assert result.leads.schema.equals(with_one.schema)


def test_the_face_is_what_it_says() -> None:
    assert set(sw.__all__) == {"Result", "Settings", "__version__", "detect", "explain"}
    for name in sw.__all__:
        assert getattr(sw, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sw.nothing  # noqa: B018
    assert (Path(sw.__file__).parent / "py.typed").exists()
