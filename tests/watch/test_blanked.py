"""More knowledge never makes the answer worse: a column that is not known takes no ring away without a word, and accuses nobody."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.kit import QUIET

from stillwatch.range import build_world, load_spec, small_world
from stillwatch.range.spec import Chat
from stillwatch.records import Case
from stillwatch.watch.flow import Progress, Settings, detect

NOW = 1.8e9
SPECS = Path(__file__).parents[2] / "specs"


def _everywhere(*names: str) -> Callable[[dict[str, Any]], None]:
    def blank(call: dict[str, Any]) -> None:
        for name in names:
            for holder in (call, call["metadata"]):
                if name in holder:
                    holder[name] = None

    return blank


def _redacted(call: dict[str, Any]) -> None:
    for message in call["messages"]:
        message["content"] = "redacted-by-litellm"
    call["response"] = None


#: Column of the log -> (how a gateway leaves it out, the notice that says so, where a field that nobody asks for has none).
LOG: dict[str, tuple[Callable[[dict[str, Any]], None], str | None]] = {
    "messages": (_redacted, "no-text"),
    "response": (_everywhere("response"), "unknown-answer"),
    "user_agent": (_everywhere("user_agent"), None),
    "model_parameters": (_everywhere("model_parameters"), None),
    "address": (_everywhere("requester_ip_address"), "unknown-network"),
    "mail": (_everywhere("user_api_key_user_email"), None),
    "organisation": (_everywhere("user_api_key_org_id", "user_api_key_team_id"), None),
    "end user": (_everywhere("end_user", "user_api_key_end_user_id"), None),
}
#: Column of the accounts file -> its notice.
FILE = {"created_at": "unknown-registration", "email": None, "payment_fingerprint": "unknown-payment", "plan": None, "programme": None, "org": None,
        "verified": "unknown-verification"}  # fmt: skip


#: Columns without which a pipeline's exchange once took in strangers, and those that it stands on.
PIPELINE = ("response", "model_parameters", "address", "created_at", "verified")


@dataclass(frozen=True)
class Before:
    """A world, what is found in it, and whom its truth calls a ring's."""

    world: Path
    case: Case
    ring: frozenset[str]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Before]:
    """Each world is built once a process, in whatever order tests come."""

    @cache
    def make(name: str) -> Before:
        out = tmp_path_factory.mktemp("world")
        spec = small_world() if name == "wrapper" else load_spec(SPECS / "37-pipeline.toml")
        few = msgspec.structs.replace(spec, honest=msgspec.structs.replace(spec.honest, chat=Chat(accounts=150, most=20), **QUIET))
        build_world(few, seed=5, out=out)
        ring = frozenset(r["account"] for r in csv.DictReader((out / "truth_accounts.csv").open()) if r["campaign"])
        return Before(out, found(out, out / "calls.jsonl.gz", out / "accounts.csv"), ring)

    return make


def found(out: Path, log: Path, accounts: Path) -> Case:
    return detect(Settings([str(log)], out / "found", accounts), Progress(), now=NOW)


def examine(before: Before, after: Case, notice: str | None) -> None:
    """Nobody new is accused, and what is gone is said."""
    assert before.case.campaigns
    accused = {s.account for c in after.campaigns for s in c.streams}
    assert accused <= before.ring | {s.account for c in before.case.campaigns for s in c.streams}
    codes = {n.code for n in after.run.notices if n.unjudged or n.code == "intake"}
    if notice is not None:
        assert notice in codes, codes
    if len(after.campaigns) < len(before.case.campaigns):
        assert notice is not None, "a ring is gone and nothing says why"
        led = [sum(a in before.ring for a in lead.accounts) for lead in after.leads[:5]]
        assert max(led, default=0) >= 10 or notice in ("no-text", "unknown-answer"), led


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize(("world", "column"), [("wrapper", c) for c in LOG] + [("pipeline", c) for c in PIPELINE if c in LOG])
def test_a_column_of_the_log(made: Callable[[str], Before], world: str, column: str, tmp_path: Path) -> None:
    before = made(world)
    blank, notice = LOG[column]
    log = tmp_path / "calls.jsonl"
    with gzip.open(before.world / "calls.jsonl.gz", "rt") as lines, log.open("w") as out:
        for line in lines:
            call = json.loads(line)
            blank(call)
            out.write(json.dumps(call) + "\n")
    examine(before, found(tmp_path, log, before.world / "accounts.csv"), notice)


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize(("world", "column"), [("wrapper", c) for c in FILE] + [("pipeline", c) for c in PIPELINE if c in FILE])
def test_a_column_of_the_accounts_file(made: Callable[[str], Before], world: str, column: str, tmp_path: Path) -> None:
    before = made(world)
    rows = list(csv.DictReader((before.world / "accounts.csv").open()))
    assert column in rows[0]
    with (tmp_path / "accounts.csv").open("w", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(r | {column: ""} for r in rows)
    examine(before, found(tmp_path, before.world / "calls.jsonl.gz", tmp_path / "accounts.csv"), FILE[column])
