"""What a client writes changes what its call says, never whose call it is, nor whether it counts."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillwatch.records import CALLS
from stillwatch.watch.intake import Identity, Quarantine, Reader
from stillwatch.watch.sketch import sketch_batch

KEY = bytes(range(32))
NOW = 1.79e9

#: How a client of LiteLLM can set a field of the log: by a header, the body, or by what it makes the provider answer.
value = st.one_of(
    st.none(), st.text(max_size=20), st.integers(), st.booleans(), st.floats(), st.just("u-victim"), st.just("same"), st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)  # fmt: skip
deep = st.integers(1, 1500).map(lambda n: "[" * n + "]" * n)
CLIENT = {
    "id": value, "user": value, "end_user": value, "model": value, "user_agent": value, "requester_ip_address": value, "model_parameters": value,
    "messages": value, "request_tags": value, "trace_id": value, "session_id": value, "stream": value, "response": value, "cache_key": value,
}  # fmt: skip
CLIENT_META = {
    "user_api_key_end_user_id": value, "requester_custom_headers": value, "requester_metadata": value, "spend_logs_metadata": value, "user_agent": value,
    "requester_ip_address": value,
}  # fmt: skip


def calls_of(changes: list[tuple[dict[str, Any], dict[str, Any], str | None]]) -> list[bytes]:
    out = []
    for n, (fields, meta, nested) in enumerate(changes):
        made = {
            "id": f"c-{n}", "litellm_call_id": f"l-{n}", "startTime": 1.78e9 + n, "call_type": "acompletion", "status": "success",
            "messages": [{"role": "user", "content": f"question {n}"}], **fields,
            "metadata": {"user_api_key_hash": f"k-{n % 3}", "user_api_key_user_id": f"u-{n % 3}", **meta},
        }  # fmt: skip
        line = json.dumps({**made, "nested": "NESTED"}).replace('"NESTED"', nested or "0")
        out.append(line.encode("utf-8", "replace"))
    return out


def read(lines: list[bytes]) -> tuple[list[dict[str, Any]], Quarantine]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(b"\n".join(lines))
        quarantine = Quarantine.memory()
        rows = [r for b in Reader(Identity(KEY), quarantine, now=NOW).read([path]) for r in sketch_batch(b, 0).to_pylist()]
    return rows, quarantine


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], print_blob=True)
@given(
    st.lists(
        st.tuples(st.fixed_dictionaries({}, optional=CLIENT), st.fixed_dictionaries({}, optional=CLIENT_META), st.none() | deep),
        min_size=1,
        max_size=6,
    )
)
def test_no_field_of_a_client_drops_merges_or_renames(changes: list[tuple[dict[str, Any], dict[str, Any], str | None]]) -> None:
    rows, quarantine = read(calls_of(changes))
    assert quarantine.entries == []
    assert [(r["account"], r["key"], r["at"]) for r in rows] == [(f"u-{n % 3}", f"k-{n % 3}", 1.78e9 + n) for n in range(len(changes))]
    assert len({r["order"] for r in rows}) == len(rows)


def test_the_sampling_order_does_not_follow_the_id_alone() -> None:
    lines = calls_of([({"id": "same", "messages": "same"}, {}, None)] * 6)
    rows, _ = read(lines)
    assert {r["call_id"] for r in rows} == {"same"} and len({r["order"] for r in rows}) == 6
    again, _ = read(lines[::-1])
    assert {r["at"]: r["order"] for r in rows} == {r["at"]: r["order"] for r in again}


@pytest.mark.parametrize("depth", [300, 2_000, 60_000])
@pytest.mark.parametrize("where", ["messages", "model_parameters", "metadata", "response"])
def test_nesting_hides_no_call(depth: int, where: str) -> None:
    line = calls_of([({}, {}, None)])[0]
    deep = "[" * depth + "]" * depth
    made = json.loads(line)
    if where == "messages":
        made["messages"] = [{"role": "user", "content": "seen", "extra": "DEEP"}]
    elif where == "metadata":
        made["metadata"]["spend_logs_metadata"] = "DEEP"
    else:
        made[where] = {"temperature": 0.5, "x": "DEEP"}
    rows, quarantine = read([json.dumps(made).replace('"DEEP"', deep).encode()])
    assert [r["account"] for r in rows] == ["u-0"] and quarantine.entries == [] and rows[0]["text"] != 0


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (NOW + 86_399, None), (NOW + 86_401, "later than a day from now"), (3.9e9, "later than a day from now"), (4.2e9, "time out of range (2015 to 2100)"),
        (1.4e9, "time out of range (2015 to 2100)"), ("2026-06-01 08:00:00.5", None), ("2026-06-01 08:00:00.5 UTC", None), ("2026-06-01T10:00:00+02:00", None),
        ("2026-06-01 08:00:00 Mars/North", "not a time"), ("1780300800", None), (1_780_300_800_500, None),
    ],
)  # fmt: skip
def test_times(at: object, reason: str | None) -> None:
    rows, quarantine = read(calls_of([({"startTime": at}, {}, None)]))
    assert [e["reason"].split(" (neither")[0] for e in quarantine.entries] == ([] if reason is None else [reason])  # type: ignore[attr-defined]
    assert len(rows) == (reason is None)


def test_a_call_that_ends_before_it_starts_is_kept_without_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(calls_of([({"endTime": 1.77e9}, {}, None)])[0])
    quarantine = Quarantine.memory()
    [batch] = Reader(Identity(KEY), quarantine, now=NOW).read([tmp_path / "a.jsonl"])
    assert batch.column("ended").to_pylist() == [None] and quarantine.repaired == {"endTime: left out, before the start": 1}


def test_the_key_may_be_the_account(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(calls_of([({}, {}, None), ({}, {"user_api_key_hash": None}, None)])))
    [batch] = Reader(Identity(KEY), Quarantine.memory(), by_key=True).read([tmp_path / "a.jsonl"])
    assert batch.column("account").to_pylist() == ["k-0", "u-1"]


def test_own_parquet_with_lists_of_unequal_length_goes_to_quarantine(tmp_path: Path) -> None:
    def row(n: int, roles: Any, segments: Any, at: float = 1.78e9) -> dict[str, Any]:
        return {"call_id": f"c{n}", "account": "a", "at": at, "roles": roles, "segments": segments}

    made = [
        row(0, ["user"], ["fine"]), row(1, ["user"], ["a", "b", "c"]), row(2, ["user", "user"], ["a"]), row(3, [], []), row(4, ["user"], [None]),
        row(5, [None], ["a"]), row(6, ["user"], ["later"], 1.9e9), row(7, ["system", "user"], ["s", ""]), row(8, ["user"], ["last"]),
    ]  # fmt: skip
    loose = pa.schema([f.with_nullable(True) for f in CALLS], metadata=CALLS.metadata)
    pq.write_table(pa.Table.from_pylist(made, schema=loose), tmp_path / "calls.parquet")
    quarantine = Quarantine.memory()
    reader = Reader(Identity(KEY), quarantine, now=NOW)
    batches = list(reader.read([tmp_path / "calls.parquet"]))
    rows = [r for b in batches for r in sketch_batch(b, 0).to_pylist()]
    assert [(r["call_id"], r["text"] != 0) for r in rows] == [("c0", True), ("c3", False), ("c7", False), ("c8", True)]
    assert [(e["line"], e["field"]) for e in quarantine.entries] == [
        (7, "at"),
        (2, "segments"),
        (3, "segments"),
        (6, "roles"),
        (5, "segments"),
    ]
    assert (reader.tally.calls, reader.tally.with_text) == (4, 2)


def test_parquet_of_version_1_is_still_read(tmp_path: Path) -> None:
    old = pa.schema([f for f in CALLS if f.name != "key"], metadata={b"stillwatch.table": b"calls", b"stillwatch.version": b"1"})
    old = old.append(pa.field("network_ref", pa.string()))
    made = [{"call_id": "c", "account": "a", "at": 1.78e9, "roles": ["user"], "segments": ["x"], "network_ref": "n"}]
    pq.write_table(pa.Table.from_pylist(made, schema=old), tmp_path / "calls.parquet")
    [batch] = Reader(Identity(KEY), Quarantine.memory(), now=NOW).read([tmp_path / "calls.parquet"])
    assert batch.schema.equals(CALLS) and batch.column("key").to_pylist() == [None]
