"""Replies in the forms gateways log them, and that their words reach no file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.records import CALLS
from stillwatch.watch.flow import Progress, Settings, detect
from stillwatch.watch.intake import Identity, Quarantine, read_calls
from stillwatch.watch.intake.answers import answer, resent

WORDS = "the zinc lantern hums while seven patient otters count the copper stairs"
CHAT = {"choices": [{"index": 0, "message": {"role": "assistant", "content": WORDS}}]}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (CHAT, WORDS),
        (json.dumps(CHAT), WORDS),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}]}, "a\nb"),
        ({"choices": [{"message": {"content": "one"}}, {"message": {"content": "two"}}]}, "one\ntwo"),
        ({"choices": [{"message": {"reasoning_content": "because", "content": "so"}}]}, "because\nso"),
        ({"choices": [{"text": "completed"}]}, "completed"),
        ({"output": [{"type": "reasoning", "summary": []}, {"type": "message", "content": [{"type": "output_text", "text": "r"}]}]}, "r"),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "m"}]}, "t\nm"),
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": "g"}, {"text": "h"}]}}]}, "g\nh"),
        ({"output": {"message": {"role": "assistant", "content": [{"text": "bedrock"}]}}}, "bedrock"),
        ({"message": {"role": "assistant", "content": "ollama"}}, "ollama"),
        ("plain words", "plain words"),
        ('{"json": "that was asked for"}', '{"json": "that was asked for"}'),
        ([{"choices": [{"delta": {"content": "wo"}}]}, {"choices": [{"delta": {"content": "rd"}}]}, {"choices": []}], "word"),
        ([{"type": "message_start", "message": {"content": []}}, {"type": "content_block_delta", "delta": {"text": "x"}}], "x"),
        ([{"candidates": [{"content": {"parts": [{"text": "ge"}]}}]}, {"candidates": [{"content": {"parts": [{"text": "m"}]}}]}], "gem"),
        ({"choices": [{"message": {"content": None, "tool_calls": [{"function": {"arguments": "{}"}}]}}]}, None),
        ({"text": "redacted-by-litellm"}, None),
        ({"choices": [{"message": {"content": "redacted-by-litellm"}}]}, None),
        ({"error": {"message": "too many requests"}}, None),
        ({}, None),
        ([], None),
        (None, None),
        (17, None),
    ],
)
def test_reply_forms(response: Any, expected: str | None) -> None:
    assert answer(json.dumps(response).encode()) == expected


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": "q"}], None),
        ([{"role": "user", "content": "q"}, {"role": "assistant", "content": "first"}, {"role": "assistant", "content": "last"}], "last"),
        ([{"role": "assistant", "content": [{"type": "text", "text": "part"}]}, {"role": "user", "content": "q"}], "part"),
        ({"contents": [{"role": "model", "parts": [{"text": "g"}]}, {"role": "user", "parts": [{"text": "q"}]}]}, "g"),
        ({"input": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "r"}]}]}, "r"),
        (json.dumps([{"role": "assistant", "content": "packed"}]), "packed"),
        ([{"role": "assistant", "content": None, "tool_calls": []}], None),
        ([{"role": "assistant", "content": "redacted-by-litellm"}], None),
        ('who is an "assistant" here?', None),
    ],
)
def test_the_answer_that_is_sent_back(messages: Any, expected: str | None) -> None:
    assert resent(json.dumps(messages).encode()) == expected


@pytest.mark.parametrize("broken", [b'{"choices": [', b'"\\ud800"', b"\xff\xfe\x00\x00\x00", b"[" * 5000])
def test_a_broken_reply_is_no_reply(broken: bytes) -> None:
    assert answer(broken) is None
    assert resent(b'"assistant"' + broken) is None


def lines(n: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"c{i}",
            "startTime": 1.7e9 + i,
            "metadata": {"user_api_key_user_id": f"u{i % 3}"},
            "messages": [{"role": "user", "content": f"question {i}"}, {"role": "assistant", "content": WORDS}],
            "response": CHAT,
            "model_parameters": {},
        }
        for i in range(n)
    ]


def test_both_forms_of_a_log_give_the_answers(tmp_path: Path) -> None:
    spend = [
        {
            "request_id": c["id"],
            "startTime": c["startTime"],
            "user": "u",
            "messages": json.dumps(c["messages"]),
            "response": json.dumps(CHAT),
        }
        for c in lines(2)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(c) for c in [*lines(2), *spend]))
    pq.write_table(pa.Table.from_pylist(spend), tmp_path / "b.parquet")
    for name, n in (("a.jsonl", 4), ("b.parquet", 2)):
        rows = [r for b in read_calls([tmp_path / name], Identity(bytes(32)), Quarantine.memory()) for r in b.to_pylist()]
        assert [(r["answer"], r["resent"]) for r in rows] == [(WORDS, WORDS)] * n


def test_calls_written_before_there_were_answers_are_read(tmp_path: Path) -> None:
    old = pa.schema(
        [f for f in CALLS if f.name not in ("answer", "resent")], metadata={b"stillwatch.table": b"calls", b"stillwatch.version": b"1"}
    )
    row = {"call_id": "c", "account": "a", "at": 1.7e9, "roles": ["user"], "segments": ["q"]}
    pq.write_table(pa.Table.from_pylist([row], schema=old), tmp_path / "old.parquet")
    (batch,) = read_calls([tmp_path / "old.parquet"], Identity(bytes(32)), Quarantine.memory())
    assert batch.column("answer").to_pylist() == batch.column("resent").to_pylist() == [None]


def test_no_answer_reaches_a_file(tmp_path: Path) -> None:
    broken = json.dumps(lines(1)[0] | {"startTime": "never"})
    (tmp_path / "log.jsonl").write_text("\n".join([*(json.dumps(c) for c in lines(40)), broken]))
    detect(Settings([str(tmp_path / "log.jsonl")], tmp_path / "out", state=tmp_path / "state", show_text=True), Progress(), now=1.7e9)
    held = [f for folder in ("out", "state") for f in (tmp_path / folder).rglob("*") if f.is_file()]
    assert any(f.name == "texts.parquet" for f in held) and any(f.name == "quarantine.jsonl" for f in held)
    for f in held:
        data = f.read_bytes()
        if f.suffix == ".parquet":
            data += repr(pq.read_table(f).to_pydict()).encode()
        assert b"zinc lantern" not in data and b"copper stairs" not in data, f
