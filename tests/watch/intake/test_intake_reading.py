"""Defined outcomes of reading: what is kept, what is mended, what goes to quarantine."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from stillwatch.records import CALLS
from stillwatch.watch.intake import FileReport, Identity, IntakeError, Quarantine, Reader, expand, read_calls

KEY = bytes(range(32))


def payload(n: int = 0, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": f"call-{n}",
        "startTime": 1_788_652_857.5 + n,
        "endTime": 1_788_652_858.5 + n,
        "model": "m",
        "call_type": "acompletion",
        "custom_llm_provider": "openai",
        "status": "success",
        "stream": False,
        "metadata": {"user_api_key_user_id": "u-1", "user_api_key_hash": "h", "user_api_key_user_email": "Jane.Doe@lab.example"},
        "messages": [{"role": "user", "content": f"prompt {n}"}],
        "model_parameters": {"temperature": 0},
        "response": {"choices": []},
        "prompt_tokens": 3,
        "completion_tokens": 4,
    }
    made.update(changes)
    return made


def line(n: int = 0, **changes: Any) -> bytes:
    return json.dumps(payload(n, **changes)).encode()


def run(path: Path, data: bytes, **options: Any) -> tuple[list[dict[str, Any]], Quarantine, Reader]:
    path.write_bytes(data)
    quarantine = Quarantine.memory()
    reader = Reader(Identity(KEY), quarantine, **options)
    rows: list[dict[str, Any]] = []
    for batch in reader.read([path]):
        assert batch.schema.equals(CALLS, check_metadata=True)
        batch.validate(full=True)
        rows += batch.to_pylist()
    return rows, quarantine, reader


def one(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    rows, quarantine, _ = run(tmp_path / "a.jsonl", line(**changes))
    assert quarantine.count == 0
    return rows[0]


def test_a_call_becomes_a_row(tmp_path: Path) -> None:
    row = one(tmp_path, requester_ip_address="::ffff:1.2.3.4", user_agent="x/1", end_user="bob")
    identity = Identity(KEY)
    assert (row["call_id"], row["account"], row["at"], row["access_path"]) == ("call-0", "u-1", 1_788_652_857.5, "openai")
    assert (row["mail_ref"], row["mail_domain_ref"], row["mail_shape"]) == identity.mail("jane.doe@lab.example")
    assert row["address_ref"] == identity.address("1.2.3.4:80") and row["key"] == "h"
    assert row["end_user_ref"] == identity.ref("end-user", "bob")
    assert (row["roles"], row["segments"], row["prompt_tokens"], row["reply_tokens"]) == (["user"], ["prompt 0"], 3, 4)
    assert row["params"] == '{"temperature":0}'


def test_no_identity_and_no_place_in_any_column(tmp_path: Path) -> None:
    row = one(tmp_path, requester_ip_address="203.0.113.9", end_user="bob-marker", user="mallory", country="XX", timezone="Mars/North")
    text = json.dumps(row).lower()
    assert not [w for w in ("jane", "doe", "lab.example", "203.0.113", "bob-marker", "mallory", "mars/north", '"xx"') if w in text]


def test_the_client_cannot_name_its_account(tmp_path: Path) -> None:
    rows, quarantine, _ = run(tmp_path / "a.jsonl", line() + b"\n" + line(1, metadata={}, user="mallory", end_user="mallory"))
    assert [r["account"] for r in rows] == ["u-1"]
    assert quarantine.entries[0]["field"] == "metadata.user_api_key_user_id"


def test_account_falls_back_to_the_key_hash_and_hides_mail(tmp_path: Path) -> None:
    assert one(tmp_path, metadata={"user_api_key_hash": "abc"})["account"] == "abc"
    assert "@" not in one(tmp_path, metadata={"user_api_key_user_id": "jane@lab.example"})["account"]
    assert "sk-secret" not in one(tmp_path, metadata={"user_api_key_hash": "sk-secret"})["account"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": None}, "id"),
        ({"id": ["x"]}, "id"),
        ({"startTime": None}, "startTime"),
        ({"startTime": True}, "startTime"),
        ({"startTime": "soon"}, "startTime"),
        ({"startTime": float("nan")}, "startTime"),
        ({"startTime": -5}, "startTime"),
        ({"startTime": 1_000_000_000}, "startTime"),
        ({"startTime": 4_200_000_000}, "startTime"),
        ({"startTime": "9999-12-31T23:59:59-23:00"}, "startTime"),
        ({"metadata": None}, "metadata.user_api_key_user_id"),
        ({"metadata": 5}, "metadata.user_api_key_user_id"),
    ],
)
def test_what_a_call_must_have_is_named_in_quarantine(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    bad = line(1, **changes)
    rows, quarantine, reader = run(tmp_path / "a.jsonl", line() + b"\n" + bad + b"\n" + line(2) + b"\n")
    assert [r["call_id"] for r in rows] == ["call-0", "call-2"]
    [entry] = quarantine.entries
    assert (entry["line"], entry["field"]) == (2, field)
    assert entry["excerpt"] == f"sha256={hashlib.sha256(bad).hexdigest()} offset={len(line()) + 1} bytes={len(bad)}"
    assert "prompt" not in json.dumps(entry)
    assert reader.reports[0].rejected == 1 and reader.reports[0].calls == 2


@pytest.mark.parametrize(
    "at", [1_788_652_857_500, 1_788_652_857_500_000, "1788652857.5", "2026-09-06T00:00:57.500Z", "2026-09-06T00:00:57.500"]
)
def test_time_forms(tmp_path: Path, at: Any) -> None:
    assert one(tmp_path, startTime=at)["at"] == pytest.approx(1_788_652_857.5, abs=1e-3)


def test_wrong_types_of_other_fields_are_left_out_and_counted(tmp_path: Path) -> None:
    odd = line(stream="yes", prompt_tokens="many", completion_tokens=2**70, model={"a": 1}, user_agent=[], endTime="late", messages=7)
    [row], quarantine, _ = run(tmp_path / "a.jsonl", odd)
    names = ("stream", "prompt_tokens", "reply_tokens", "model", "agent", "ended")
    assert [row[n] for n in names] == [None] * 6 and row["segments"] == []
    assert quarantine.count == 0 and quarantine.repaired["stream: left out, wrong type"] == 1


def test_a_bad_line_does_not_stop_the_run(tmp_path: Path) -> None:
    rows, quarantine, _ = run(tmp_path / "a.jsonl", b"\n".join([line(0), b'{"id": "x', b"[1]", b"7", b"{" * 100_000, line(1)]))
    assert len(rows) == 2
    assert [e["line"] for e in quarantine.entries] == [2, 3, 4, 5]


def test_failed_duplicate_and_backward_calls_are_kept(tmp_path: Path) -> None:
    rows, quarantine, _ = run(tmp_path / "a.jsonl", b"\n".join([line(5), line(5, status="failure"), line(1)]))
    assert [r["status"] for r in rows] == ["success", "failure", "success"] and quarantine.count == 0


def test_blank_lines_bom_crlf_nul(tmp_path: Path) -> None:
    data = (
        b"\xef\xbb\xbf"
        + line(0)
        + b"\r\n\r\n  \n"
        + bytes(5000)
        + b"\n"
        + bytes(300_000)
        + line(1)
        + b"\r\n"
        + line(2)[:20]
        + b"\0\0"
        + line(2)[20:]
    )
    rows, quarantine, _ = run(tmp_path / "a.jsonl", data)
    assert [r["call_id"] for r in rows] == ["call-0", "call-1", "call-2"]
    assert quarantine.count == 0 and quarantine.repaired["NUL bytes removed"] == 2


def test_invalid_utf8_and_lone_surrogates_are_mended(tmp_path: Path) -> None:
    surrogate = line(1, messages=[{"role": "user", "content": "a?b"}]).replace(b"a?b", b"a\\ud800b\\u0000c")
    rows, quarantine, _ = run(tmp_path / "a.jsonl", line().replace(b"prompt 0", b"prom\xffpt") + b"\n" + surrogate)
    assert [r["segments"] for r in rows] == [["prom\ufffdpt"], ["a\ufffdb c"]]
    assert quarantine.repaired == {"invalid UTF-8 replaced": 1, "lone surrogates replaced": 1}


def test_empty_file_is_a_notice(tmp_path: Path) -> None:
    rows, quarantine, reader = run(tmp_path / "a.jsonl", b"")
    assert not rows and quarantine.count == 0 and "holds no calls" in reader.notices[0]
    assert reader.reports[0].sha256 == hashlib.sha256(b"").hexdigest()


def packed(kind: str, data: bytes) -> bytes:
    return gzip.compress(data) if kind == "gz" else zstandard.ZstdCompressor(write_checksum=True).compress(data)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_packed_files_whatever_their_name(tmp_path: Path, kind: str) -> None:
    half = b"\n".join(line(n) for n in range(50)) + b"\n"
    data = packed(kind, half) + packed(kind, b"\n".join(line(n) for n in range(50, 100)))
    rows, quarantine, reader = run(tmp_path / "odd.name", data)
    assert len(rows) == 100 and quarantine.count == 0
    assert (reader.reports[0].bytes, reader.reports[0].sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_truncated_packed_file_keeps_what_came_before(tmp_path: Path, kind: str) -> None:
    whole = b"\n".join(line(n, junk=hashlib.sha512(b"%d" % n).hexdigest() * 8) for n in range(3000))
    data = packed(kind, whole)[:-40_000]
    rows, quarantine, reader = run(tmp_path / "a.log", data)
    assert 0 < len(rows) < 3000 and [r["call_id"] for r in rows] == [f"call-{n}" for n in range(len(rows))]
    [entry] = quarantine.entries
    assert entry["line"] == len(rows) + 1 and "is cut" in str(entry["reason"])
    assert reader.reports[0].sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_corrupt_packed_file(tmp_path: Path, kind: str) -> None:
    data = bytearray(packed(kind, b"\n".join(line(n, junk=hashlib.sha512(b"%d" % n).hexdigest() * 8) for n in range(3000))))
    middle = len(data) // 2
    data[middle : middle + 400] = b"\xff" * 400
    rows, quarantine, reader = run(tmp_path / "a.log", bytes(data))
    # zstd may unpack damaged literals and notice only by the checksum at the end; what lies before the damage must be whole.
    sound = len(rows) if kind == "gz" else 1000
    assert len(rows) >= sound > 0
    assert [r["segments"] for r in rows[:sound]] == [[f"prompt {n}"] for n in range(sound)]
    assert any("corrupt" in str(e["reason"]) for e in quarantine.entries)
    assert reader.reports[0].sha256 == hashlib.sha256(data).hexdigest()


def test_long_prompts_are_kept_and_longer_lines_are_not(tmp_path: Path) -> None:
    long = "word " * 2_000_000
    [row], _, _ = run(tmp_path / "a.jsonl", line(messages=long))
    assert row["segments"] == [long]
    data = line(0) + b"\n" + line(1, messages="x" * 3_000_000) + b"\n" + line(2) + b"\n" + line(3, messages="y" * 3_000_000)
    rows, quarantine, _ = run(tmp_path / "b.jsonl", data, longest_line=2_000_000)
    assert [r["call_id"] for r in rows] == ["call-0", "call-2"]
    assert [e["line"] for e in quarantine.entries] == [2, 4]
    bad = data.split(b"\n")[1]
    assert quarantine.entries[0]["excerpt"] == f"sha256={hashlib.sha256(bad).hexdigest()} offset={len(line(0)) + 1} bytes={len(bad)}"


def test_batches_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(line(n, messages="x" * 10_000) for n in range(300)))
    read: list[tuple[Path, int]] = []
    reports: list[FileReport] = []
    options: dict[str, Any] = {"progress": lambda p, n: read.append((p, n)), "reports": reports}
    batches = list(read_calls([path], Identity(KEY), Quarantine.memory(), batch_rows=100, batch_bytes=200_000, **options))
    assert sum(map(len, batches)) == 300 == reports[0].calls
    assert max(b.nbytes for b in batches) < 400_000
    assert read[-1] == (path, path.stat().st_size)


@pytest.mark.parametrize(
    "data", [b"hello\nworld\n", b"PAR1 but not really", b'{"a": 1}\n', b"\xff\xfe{\x00", b"[1, 2]", bytes(range(256)) * 9]
)
def test_unknown_format_fails_alone_but_not_the_run(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "good.jsonl").write_bytes(line())
    (tmp_path / "bad.log").write_bytes(data)
    quarantine = Quarantine.memory()
    files = expand([str(tmp_path)])
    assert sum(map(len, read_calls(files, Identity(KEY), quarantine))) == 1
    assert quarantine.entries[0]["line"] is None and str(quarantine.entries[0]["file"]).endswith("bad.log")
    with pytest.raises(IntakeError, match=r"bad\.log"):
        list(read_calls([tmp_path / "bad.log", tmp_path / "gone.log"], Identity(KEY), Quarantine.memory()))


def test_expand(tmp_path: Path) -> None:
    for name in ("b.jsonl", "sub/a.json.gz", "sub/c.parquet", "sub/readme.md", ".hidden.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [str(p.relative_to(tmp_path)) for p in expand([str(tmp_path), str(tmp_path / "**/*.parquet"), str(tmp_path / "b.jsonl")])]
    assert names == ["b.jsonl", "sub/a.json.gz", "sub/c.parquet"]
    with pytest.raises(IntakeError, match=r"nothing\*"):
        expand([str(tmp_path / "nothing*")])


def test_own_parquet_round_trip_and_its_refusals(tmp_path: Path) -> None:
    _, _, _ = run(tmp_path / "a.jsonl", b"\n".join(line(n) for n in range(20)))
    [batch] = read_calls([tmp_path / "a.jsonl"], Identity(KEY), Quarantine.memory())
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "calls.parquet")
    rows, _, reader = run(tmp_path / "copy.bin", (tmp_path / "calls.parquet").read_bytes())
    assert rows == batch.to_pylist() and reader.reports[0].calls == 20
    newer = pa.Table.from_batches([batch]).replace_schema_metadata({b"stillwatch.table": b"calls", b"stillwatch.version": b"99"})
    pq.write_table(newer, tmp_path / "new.parquet")
    with pytest.raises(IntakeError, match="update Stillwatch"):
        list(read_calls([tmp_path / "new.parquet"], Identity(KEY), Quarantine.memory()))
    plain = pa.Table.from_pylist([{**rows[0], "at": t, "account": a} for t, a in ((1.0, "u"), (None, "u"), (1.7e9, ""), (1.7e9, "u"))])
    columns = [plain.column(f.name).cast(f.type) for f in CALLS]
    loose = pa.schema([f.with_nullable(True) for f in CALLS], metadata=CALLS.metadata)
    pq.write_table(pa.Table.from_arrays(columns, schema=loose), tmp_path / "bad.parquet")
    rows, quarantine, _ = run(tmp_path / "bad2.parquet", (tmp_path / "bad.parquet").read_bytes())
    assert len(rows) == 1 and [(e["line"], e["field"]) for e in quarantine.entries] == [(2, "at"), (3, "account"), (1, "at")]
