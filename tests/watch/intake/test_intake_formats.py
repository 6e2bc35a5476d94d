"""One exam that every log format takes, and what is special to some."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from stillwatch.watch.intake import Identity, IntakeError, Quarantine, Reader, expand
from stillwatch.watch.intake.formats import FORMATS, Format, shape
from stillwatch.watch.intake.formats.base import EXAMPLE, EXAMPLE_ROWS

KEY = bytes(range(32))
EXAMPLES = [(form, n, example) for form in FORMATS for n, example in enumerate(form.examples())]


def read(path: Path, data: bytes) -> tuple[list[dict[str, Any]], Quarantine, Reader]:
    path.write_bytes(data)
    quarantine = Quarantine.memory()
    reader = Reader(Identity(KEY), quarantine)
    return [row for batch in reader.read([path]) for row in batch.to_pylist()], quarantine, reader


@pytest.mark.parametrize(("form", "n", "example"), EXAMPLES, ids=[f"{f.name} {n}" for f, n, _ in EXAMPLES])
def test_the_exam_of_a_format(form: Format, n: int, example: bytes, tmp_path: Path) -> None:
    first = next(f for f in FORMATS if f.sniff(example) is not None)
    assert first is form, "an earlier format takes the file"
    for name, data in (
        ("log", example),
        ("bom.log", b"\xef\xbb\xbf" + example),
        ("log.gz", gzip.compress(example)),
        ("crlf", example + b"\r\n"),
    ):
        rows, quarantine, reader = read(tmp_path / name, data)
        assert quarantine.entries == []
        assert [(r["call_id"], r["account"], r["key"]) for r in rows] == [(f"chatcmpl-{i}", f"u-{i}", f"{i:064x}") for i in (0, 1)]
        assert [r["segments"] for r in rows] == [[f'line one of {i}\nand "two"\tof it'] for i in (0, 1)]
        assert [r["at"] for r in rows] == [1_780_300_800.25, 1_780_300_801.25] and {r["params"] for r in rows} == {'{"temperature":0.5}'}
        assert (reader.reports[0].calls, reader.tally.calls, reader.tally.with_text) == (2, 2, 2)


def test_a_bucket_copy_has_no_extensions(tmp_path: Path) -> None:
    for n, call in enumerate(EXAMPLE):
        (tmp_path / "2026-06-01").mkdir(exist_ok=True)
        (tmp_path / "2026-06-01" / f"chatcmpl-{n}").write_text(json.dumps(call))
    (tmp_path / "2026-06-01" / "packed.bin").write_bytes(gzip.compress(json.dumps(EXAMPLE[0]).encode()))
    (tmp_path / "README").write_text("startTime is a field")
    (tmp_path / "accounts.csv").write_text("account,email\nu-0,a@b.example\n")
    (tmp_path / "broken").write_bytes(b"\x1f\x8b not")
    assert [p.name for p in expand([str(tmp_path)])] == ["chatcmpl-0", "chatcmpl-1", "packed.bin"]
    batches = list(Reader(Identity(KEY), Quarantine.memory()).read(expand([str(tmp_path)])))
    assert [len(b) for b in batches] == [3]  # many small objects share a batch


ROW = EXAMPLE_ROWS[0]


def copied(texts: list[str]) -> bytes:
    rows = [
        {**ROW, "request_id": f"r{n}", "proxy_server_request": {"messages": [{"role": "user", "content": t}]}} for n, t in enumerate(texts)
    ]
    return "\n".join(json.dumps(r, ensure_ascii=False).replace("\\", "\\\\") for r in rows).encode()


@pytest.mark.parametrize(
    "texts", [["two\nlines", "a\ttab"], ["plain", 'say "x"'], ["back\\slash\nand line", "plain"], ["plain"] * 900 + ["late\nline"]]
)
def test_copy_text_is_undone_also_where_it_could_be_json(texts: list[str], tmp_path: Path) -> None:
    rows, quarantine, _ = read(tmp_path / "a.jsonl", copied(texts))
    assert [r["segments"] for r in rows] == [[t] for t in texts] and not quarantine.entries
    assert quarantine.repaired["lines of PostgreSQL's COPY text, their backslashes undone"] == sum("\\" in json.dumps(t) for t in texts)


@pytest.mark.parametrize("texts", [["C:\\Users\\ada"], ["the two signs \\n", 'and "quoted"'], ["a\nb", "\\n \\t \\\\"], ["\\u00e9", "é\n"]])
def test_json_with_backslashes_is_not_taken_for_copy_text(texts: list[str], tmp_path: Path) -> None:
    rows, _, _ = read(tmp_path / "a.jsonl", copied(texts).replace(b"\\\\", b"\\"))
    assert [r["segments"] for r in rows] == [[t] for t in texts]


def test_pieces_of_two_outputs_do_not_mix(tmp_path: Path) -> None:
    one, two = (json.dumps(c) + "\n" for c in EXAMPLE)
    lines = [
        {"log": one[:50], "stream": "stdout", "time": "t"}, {"log": two[:70], "stream": "stderr", "time": "t"},
        {"log": one[50:], "stream": "stdout", "time": "t"}, {"log": two[70:], "stream": "stderr", "time": "t"},
        {"log": one[:50], "stream": "stdout", "time": "t"},
    ]  # fmt: skip
    rows, quarantine, _ = read(tmp_path / "a.log", "\n".join(map(json.dumps, lines)).encode())
    assert [r["call_id"] for r in rows] == ["chatcmpl-0", "chatcmpl-1"]
    assert quarantine.repaired == {"pieces of a line whose end is missing, left out": 1}


def test_a_broken_call_in_a_wrapper_is_quarantined_with_its_line(tmp_path: Path) -> None:
    good = {"log": json.dumps(EXAMPLE[0]), "at": 1}
    bad = {"log": json.dumps({**EXAMPLE[1], "startTime": "soon"}), "at": 1}
    rows, quarantine, _ = read(tmp_path / "a.log", "\n".join(map(json.dumps, (good, {"log": "started"}, bad, good))).encode())
    assert len(rows) == 2 and [(e["line"], e["field"]) for e in quarantine.entries] == [(3, "startTime")]


def test_what_a_client_makes_a_program_print_is_no_call(tmp_path: Path) -> None:
    forged = json.dumps({**EXAMPLE[1], "metadata": {"user_api_key_user_id": "victim"}})
    lines = [{"log": json.dumps(EXAMPLE[0])}, {"log": f'request was "{forged}"'}, {"log": json.dumps({"level": "info", "note": forged})}]
    rows, _, _ = read(tmp_path / "a.log", "\n".join(map(json.dumps, lines)).encode())
    assert [r["account"] for r in rows] == ["u-0"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"@timestamp": "x", "log": "jane@x.example"}\n', "objects have @timestamp, log; expected id or request_id, startTime, metadata"),
        (b'{"jane@x.example": 1, "u-12345678": 2}', "no keys that could be field names"),
        (b'[{"a": "secret"}]', "objects have a;"),
        (
            b"id,startTime,user,prompt\n1,2,jane,secret\n",
            "without the column request_id (it has id, startTime, user, prompt)",
        ),
        (b"jane@x.example,4111 1111 1111 1111,x\n", "no JSON"),
        (b"request_id\tstartTime\tuser\n1\t2\tjane\n", "psql -At"),
        (b"2026-06-01 jane said { hello }\n", "text before the JSON"),
        (
            b'request_id,start_time,metadata\nr-1,2026-06-01,"{""a"": 1}"\n',
            "a table without the column startTime (it has request_id, start_time",
        ),
        (
            b'id,startTime,messages\nr-1,2026-06-01,"[{""role"": ""user""}]"\n',
            "a table without the column request_id (it has id, startTime",
        ),
        (b'jane,logs,in {"a": 1}\n', "text before the JSON"),
        (b'jane,logs,in\nand says {"a": 1}\n', "text before the JSON"),
        (b'id,payload\n1,"{""id"": 1}"\n', "a table without the columns request_id and startTime (it has id, payload)"),
    ],
)
def test_an_unknown_format_names_keys_and_no_values(data: bytes, told: str) -> None:
    with pytest.raises(IntakeError) as refused:
        shape("a.log", data)
    text = str(refused.value)
    assert text.startswith("a.log: ") and told in text
    assert not [w for w in ("jane", "secret", "4111", "12345678") if w in text]


@pytest.mark.parametrize("noise", [b"\xf5\xfd\xb9k\xcf4c\xa8" * 40, b""])
def test_a_packed_file_of_noise_is_no_log(tmp_path: Path, noise: bytes) -> None:
    with pytest.raises(IntakeError, match="nothing could be read"):
        read(tmp_path / "a.jsonl.gz", b"\x1f\x8b" + noise)


def test_csv_rows_that_do_not_fit_are_quarantined(tmp_path: Path) -> None:
    form = next(f for f in FORMATS if f.name == "LiteLLM_SpendLogs as CSV")
    lines = form.examples()[0].split(b"\r\n")
    data = b"\n".join([lines[0], lines[1], b"too,few", lines[2]])
    rows, quarantine, _ = read(tmp_path / "a.csv", data)
    assert len(rows) == 2 and [e["line"] for e in quarantine.entries] == [3]
