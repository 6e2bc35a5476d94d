"""Each call once, under the account that the whole log gives it; what is left out is told, and counted alike everywhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stillwatch.records import Case
from stillwatch.watch.evidence import unjudged
from stillwatch.watch.flow import Progress, Settings, detect
from stillwatch.watch.intake import IntakeError

NOW = 1.79e9


def call(n: int, user: str | None = "u-1", key: str | None = "k1", **more: Any) -> dict[str, Any]:
    meta = {"user_api_key_user_id": user, "user_api_key_hash": key}
    made = {
        "id": f"c-{n}",
        "startTime": 1.78e9 + n,
        "status": "success",
        "metadata": meta,
        "messages": [{"role": "user", "content": f"question {n}"}],
    }
    return {**made, **more}


def run(folder: Path, *files: list[dict[str, Any]], state: Path | None = None, **settings: Any) -> tuple[Case, list[dict[str, Any]]]:
    folder.mkdir(exist_ok=True)
    for n, calls in enumerate(files):
        (folder / f"{n}.jsonl").write_text("\n".join(map(json.dumps, calls)))
    case = detect(Settings([str(folder / "*.jsonl")], folder / "out", state=state, **settings), Progress(), now=NOW)
    return case, [json.loads(line) for line in (folder / "out" / "quarantine.jsonl").read_text().splitlines()]


def told(case: Case, code: str) -> str:
    return next((n.text for n in case.run.notices if n.code == code), "")


def test_colliding_ids_are_calls_and_a_redelivered_line_is_one(tmp_path: Path) -> None:
    collide = [call(n, f"u-{n % 3}", f"k{n % 3}", id="chatcmpl-213") for n in range(9)]
    case, rejected = run(tmp_path / "a", collide)
    assert (case.run.calls, case.run.accounts, case.run.rejected, rejected) == (9, 3, 0, [])
    case, rejected = run(tmp_path / "b", collide, [collide[0], collide[4], call(10)])
    assert (case.run.calls, case.run.rejected) == (10, 2)
    assert [(Path(r["file"]).name, r["field"]) for r in rejected] == [("1.jsonl", "id")] * 2
    digest = hashlib.sha256(b"chatcmpl-213").hexdigest()
    assert rejected[0]["excerpt"].endswith(digest) and rejected[0]["reason"].startswith(
        "repeated: the same id, account, start time and text"
    )
    assert told(case, "repeats").startswith("2 lines repeat a call")
    assert case.run.copies == 2 and unjudged(case)[-1].code != "rejected", "copies were looked at"


def test_repeats_stand_in_quarantine_with_a_state_too(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run(tmp_path / "a", [call(1), call(2)], state=state)
    case, rejected = run(tmp_path / "b", [call(1), {**call(3), "startTime": "soon"}], state=state)
    assert (case.run.calls, case.run.rejected, len(rejected)) == (2, 2, 2)
    assert [Path(r["file"]).parent.name for r in rejected] == ["b", "b"]
    kept = [json.loads(line) for p in sorted(state.glob("part-*/quarantine.jsonl")) for line in p.read_text().splitlines()]
    assert [r["field"] for r in kept] == ["startTime"], "a part keeps what was rejected when it was read"


def test_a_key_and_its_user_are_one_account_over_files_and_runs(tmp_path: Path) -> None:
    alone = [call(n, None, "k1") for n in (1, 2)]
    for name, files in (("a", (alone, [call(3)])), ("b", ([call(3)], alone)), ("c", ([alone[0], call(3), alone[1]],))):
        case, _ = run(tmp_path / name, *files)
        assert (case.run.calls, case.run.accounts) == (3, 1)
    state = tmp_path / "state"
    assert run(tmp_path / "d", alone, state=state)[0].run.accounts == 1
    case, _ = run(tmp_path / "e", [call(3)], state=state)
    assert (case.run.calls, case.run.accounts) == (3, 1)


def test_a_key_of_two_users_stays_apart_and_is_told(tmp_path: Path) -> None:
    case, _ = run(tmp_path / "a", [call(1, "u-1"), call(2, "u-2"), call(3, None)])
    assert case.run.accounts == 3 and "1 API keys belong to several users" in told(case, "shared-keys")


def test_logins_with_unknown_keys_are_nobodys(tmp_path: Path) -> None:
    garbage = [call(n, None, f"garbage-{n}", status="failure", messages=[]) for n in range(20, 30)]
    case, rejected = run(tmp_path / "a", [call(1), call(2, None, "k1", status="failure"), call(3, None, "k9"), *garbage])
    assert (case.run.calls, case.run.accounts, case.run.rejected, len(rejected)) == (3, 2, 10, 10)
    assert "10 failed calls by 10 keys" in told(case, "unknown-keys") and {r["field"] for r in rejected} == {"account"}
    assert "garbage" not in json.dumps(rejected)


def test_missing_prompts_are_the_first_notice_also_over_a_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    case, _ = run(tmp_path / "a", [call(n, messages={}) for n in range(8)], state=state)
    assert case.run.notices[0].code == "no-text" and case.run.notices[0].text.startswith(
        "none of 8 calls holds a prompt (prompt not stored: 8)"
    )
    case, _ = run(tmp_path / "b", [call(n) for n in (20, 21)], state=state)
    assert case.run.notices[0].text.startswith("only 2 of 10 calls hold a prompt") and case.run.notices[0].share == 0.8
    assert [n.code for n in case.run.notices].count("no-text") == 1
    case, _ = run(tmp_path / "c", [call(n) for n in range(30, 40)], state=state)
    assert not told(case, "no-text")


def test_a_default_user_for_all_is_told_and_the_key_may_stand_for_it(tmp_path: Path) -> None:
    calls = [call(n, "default_user_id", f"k{n % 4}") for n in range(12)]
    case, _ = run(tmp_path / "a", calls)
    assert case.run.accounts == 1 and "one account with 4 API keys sends 12 of 12 calls" in told(case, "one-account")
    assert "--account-by-key" in told(case, "one-account")
    case, _ = run(tmp_path / "b", calls, account_by_key=True)
    assert case.run.accounts == 4 and not told(case, "one-account")
    (tmp_path / "people.csv").write_text("account\nu-1\nu-2\n")
    with pytest.raises(
        IntakeError, match=r"0 of 1 accounts .*one account with 4 API keys sends 12 of 12 calls.*--account-by-key"
    ) as refused:
        run(tmp_path / "c", calls, accounts=tmp_path / "people.csv")
    assert "--column" not in str(refused.value)


def test_a_call_of_the_future_is_quarantined_by_the_runs_clock(tmp_path: Path) -> None:
    case, rejected = run(tmp_path / "a", [call(1), call(2, startTime=NOW + 2 * 86_400), call(3, startTime=3.9e9)])
    assert case.run.calls == 1 and [r["reason"] for r in rejected] == ["later than a day from now"] * 2


def test_a_log_of_which_no_row_can_be_used_is_an_error(tmp_path: Path) -> None:
    bad = [call(1, startTime="soon"), call(2, startTime="late"), call(3, None, None)]
    state = tmp_path / "state"
    with pytest.raises(IntakeError, match=r"no row of the log could be used, 3 rows rejected: startTime: .* \(2\), .*quarantine\.jsonl"):
        run(tmp_path / "a", bad, state=state)
    left = tmp_path / "a" / "out" / "quarantine.jsonl"
    assert len(left.read_text().splitlines()) == 3 and not (left.parent / "run.json").exists()
    case, _ = run(tmp_path / "a", [call(9)], state=state)
    assert case.run.calls == 1
    kept = left.read_bytes()
    with pytest.raises(IntakeError, match=r"3 rows rejected: [^;]*$"):
        run(tmp_path / "a", bad)
    assert left.read_bytes() == kept, "it belongs to the results that lie there"
    case, rejected = run(tmp_path / "b", bad, state=state)
    assert (case.run.calls, len(rejected)) == (1, 3), "a state that holds calls goes on"
    case, rejected = run(tmp_path / "c", [])
    assert (case.run.calls, rejected) == (0, []), "an empty log is none of these"


def test_trusted_proxies_reach_the_addresses(tmp_path: Path) -> None:
    calls = [call(n, requester_ip_address=f"6.6.6.{n}, 203.0.113.9, 198.51.100.1") for n in range(4)]
    case, _ = run(tmp_path / "a", calls, trusted_proxies=2, state=tmp_path / "state")
    rows = pq.read_table(next((tmp_path / "state").glob("part-*/sketches.parquet"))).to_pylist()
    assert len({r["address_ref"] for r in rows}) == 1 and "4 calls have a chain" in told(case, "intake")
    with pytest.raises(IntakeError, match="trusted_proxies"):
        run(tmp_path / "b", calls, trusted_proxies=("nonsense",))


def test_a_state_of_an_older_schema_is_gone_on_with(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run(tmp_path / "a", [call(1), call(2)], state=state)
    part = next(state.glob("part-*/sketches.parquet"))
    old = pq.read_table(part).drop_columns(["key"])
    pq.write_table(old.append_column("network_ref", old.column("address_ref")), part)
    case, _ = run(tmp_path / "b", [call(3)], state=state)
    assert (case.run.calls, case.run.accounts) == (3, 1)
