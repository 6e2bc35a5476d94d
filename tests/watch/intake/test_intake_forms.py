"""Messages, settings and spend logs in the forms gateways write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.watch.intake import Identity, Quarantine, Reader, read_calls
from stillwatch.watch.intake.messages import read
from stillwatch.watch.intake.parameters import settings_of

KEY = bytes(range(32))
CHAT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "REPLY"},
    {"role": "tool", "content": "RESULT"},
]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (CHAT, [("system", "be brief"), ("user", "hi")]),
        ([{"role": "developer", "content": "d"}, {"role": "invented", "content": "i"}], [("system", "d"), ("user", "i")]),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]}], [("user", "a\n[image]")]),
        ([{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]}], [("user", "a\nb")]),
        ([{"role": "user", "content": [{"type": "tool_result", "content": "RESULT"}, {"type": "text", "text": "a"}]}], [("user", "a")]),
        ([{"role": "assistant", "content": None, "tool_calls": [{}]}, {"role": "user", "content": "a"}], [("user", "a")]),
        ("plain", [("user", "plain")]),
        ('["looks like a list"', [("user", '["looks like a list"')]),
        (["a", "b"], [("user", "a"), ("user", "b")]),
        (json.dumps(CHAT), [("system", "be brief"), ("user", "hi")]),
        ({"messages": CHAT}, [("system", "be brief"), ("user", "hi")]),
        ({"prompt": "p"}, [("user", "p")]),
        (
            {"instructions": "s", "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "q"}]}]},
            [("system", "s"), ("user", "q")],
        ),
        ([{"type": "function_call_output", "output": "RESULT"}, {"type": "reasoning"}, {"role": "user", "content": "q"}], [("user", "q")]),
        ([{"role": "user", "parts": [{"text": "q"}]}], [("user", "q")]),
        ([1, 2, 3], []),
        ([[1, 2], [3]], []),
        ({}, []),
        (None, []),
        ([], []),
        ("{}", []),
        ("null", []),
        ('""', []),
        ({"prompt": "null"}, [("user", "null")]),
        ([{"role": "user", "content": "redacted-by-litellm"}], []),
    ],
)
def test_message_forms(messages: Any, expected: list[tuple[str, str]]) -> None:
    roles, texts, missing = read(json.dumps(messages).encode(), lambda _: None)
    assert list(zip(roles, texts, strict=True)) == expected
    assert (missing is None) == bool(texts)


def test_settings_hold_no_text() -> None:
    secret = "SECRET"
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"b": 1, "a": 2.0}}}
    given = {
        "temperature": 1.0, "stop": [secret, secret], "seed": 3, "user": secret, "metadata": {"x": secret}, "logit_bias": {"5": secret},
        "odd": secret, "response_format": {"type": "json_schema", "json_schema": {"name": "s"}}, "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "thinking": {"type": "enabled", "budget_tokens": 5},
    }  # fmt: skip
    settings = settings_of(given)
    assert json.loads(settings.params or "") == {
        "+": ["logit_bias", "odd", "seed"], "response_format": "json_schema", "stop": 2, "temperature": 1,
        "thinking": {"budget_tokens": 5, "type": "enabled"}, "tool_choice": "function",
    }  # fmt: skip
    assert settings.tools == '{"reply":{"name":"s"},"tools":[["f",{"a":2,"b":1}]]}'
    assert settings == settings_of(dict(reversed(given.items()))) and secret not in str(settings)


def spend(n: int, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "request_id": f"r-{n}", "call_type": "acompletion", "api_key": "hash", "spend": 0.1, "total_tokens": 7, "prompt_tokens": 3,
        "completion_tokens": 4, "startTime": "2026-09-06T00:00:57.500Z", "endTime": "2026-09-06T00:00:58", "model": "m",
        "custom_llm_provider": "openai", "user": "u-9",
        "metadata": json.dumps({"user_api_key_user_id": "u-1", "user_api_key_team_id": "t"}),
        "end_user": "", "requester_ip_address": "1.2.3.4", "messages": json.dumps(CHAT),
        "response": "{}", "proxy_server_request": "{}",
        "status": "success", "team_id": None, "organization_id": None,
    }  # fmt: skip
    made.update(changes)
    return made


def rows_of(path: Path) -> list[dict[str, Any]]:
    quarantine = Quarantine.memory()
    rows = [r for b in Reader(Identity(KEY), quarantine).read([path]) for r in b.to_pylist()]
    assert not quarantine.entries
    return rows


def test_spend_logs_as_lines_array_and_parquet(tmp_path: Path) -> None:
    rows = [spend(n) for n in range(5)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "b.json").write_text(json.dumps(rows, indent=2))
    (tmp_path / "c.json").write_text(json.dumps(rows))
    stamps = [{**r, "startTime": datetime(2026, 9, 6, 0, 0, 57, 500_000, UTC), "metadata": json.loads(r["metadata"])} for r in rows]
    pq.write_table(pa.Table.from_pylist(stamps), tmp_path / "d.parquet")
    first = rows_of(tmp_path / "a.jsonl")
    assert (first[0]["call_id"], first[0]["account"], first[0]["at"]) == ("r-0", "u-1", 1_788_652_857.5)
    assert first[0]["segments"] == ["be brief", "hi"] and first[0]["org_ref"] == Identity(KEY).ref("org", "t")
    for name in ("b.json", "c.json", "d.parquet"):
        assert rows_of(tmp_path / name) == first


def test_spend_logs_take_the_account_and_the_proxied_request(tmp_path: Path) -> None:
    body = {"messages": CHAT, "temperature": 0.5, "model": "m", "user": "mallory"}
    made = [
        spend(0, metadata="{}", messages="{}", proxy_server_request=json.dumps(body)),
        spend(1, metadata={}, messages={}, user="", proxy_server_request={"url": "x", "body": body}),
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, made)))
    rows = rows_of(tmp_path / "a.jsonl")
    assert [r["account"] for r in rows] == ["u-9", "hash"]
    assert all(r["segments"] == ["be brief", "hi"] and r["params"] == '{"temperature":0.5}' for r in rows)


def test_array_elements_have_line_and_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    bad = json.dumps(spend(1, startTime=None, note='}{\\"'))
    path.write_text(f"[{json.dumps(spend(0))},\n{bad},\n{json.dumps(spend(2))}]")
    quarantine = Quarantine.memory()
    assert sum(map(len, read_calls([path], Identity(KEY), quarantine))) == 2
    assert quarantine.entries[0]["line"] == 2
    offset = int(str(quarantine.entries[0]["excerpt"]).split("offset=")[1].split()[0])
    assert path.read_bytes()[offset : offset + len(bad)] == bad.encode()


NATIVE = {
    "model": "claude",
    "system": "be brief",
    "tools": [{"name": "look", "description": "looks it up"}],
    "temperature": 0.5,
    "messages": [
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "REPLY in words"},
        {"role": "user", "content": [{"type": "tool_result", "content": "RESULT in words"}, {"type": "text", "text": "second question"}]},
    ],
}
READ = [("system", "be brief"), ("user", "first question"), ("user", "second question")]


@pytest.mark.parametrize(
    ("call_type", "body", "expected"),
    [
        ("pass_through_endpoint", NATIVE, READ),
        ("allm_passthrough_route", {"contents": [{"role": "user", "parts": [{"text": "a question"}]}]}, [("user", "a question")]),
        ("acompletion", NATIVE, None),
        # A client may write more than its provider reads: what stands beside the request is never lost.
        ("pass_through_endpoint", NATIVE | {"query": "what it really asks"}, None),
        ("pass_through_endpoint", NATIVE | {"instances": [{"role": "assistant", "content": "what it really asks"}]}, None),
        ("pass_through_endpoint", NATIVE | {"input": [[1, 2, 3]]}, None),
        ("pass_through_endpoint", {"messages": [{"role": "user", "content": "decoy", "parts": [{"text": "what it asks"}]}]}, None),
        ("pass_through_endpoint", {"query": "a question"}, None),
        ("pass_through_endpoint", ["no", "request"], None),
    ],
)
def test_a_request_that_was_passed_through_is_taken_apart(
    tmp_path: Path, call_type: str, body: object, expected: list[tuple[str, str]] | None
) -> None:
    whole = json.dumps(body)
    line = {"id": "c-1", "startTime": 1.78e9, "call_type": call_type, "metadata": {"user_api_key_user_id": "u-1"}}
    (tmp_path / "calls.jsonl").write_text(json.dumps({**line, "messages": [{"role": "user", "content": whole}]}))
    (row,) = rows_of(tmp_path / "calls.jsonl")
    assert list(zip(row["roles"], row["segments"], strict=True)) == (expected or [("user", whole)])
    if expected is READ:
        assert row["resent"] == "REPLY in words" and row["params"] == '{"temperature":0.5}' and "look" in row["tools"]


def test_a_client_that_fills_several_forms_hides_none() -> None:
    """A decoy in the form that is known first must not keep what the provider reads out of sight."""
    body = {
        "messages": [{"role": "user", "content": "decoy"}],
        "contents": [{"role": "user", "parts": [{"text": "the real question"}]}],
        "prompt": "a third",
    }
    roles, texts, missing = read(json.dumps(body).encode(), lambda _: None)
    assert missing is None
    assert sorted(zip(roles, texts, strict=True)) == [("user", "a third"), ("user", "decoy"), ("user", "the real question")]
