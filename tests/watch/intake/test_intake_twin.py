"""Properties: nothing raises and nothing is lost, and a slow reader that is obviously right agrees with the fast one."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillwatch.watch.intake import Identity, Quarantine, read_calls, withheld

KEY = bytes(range(32))
DEV = Path(__file__).parents[4] / "shared" / "worlds" / "dev" / "calls.jsonl.gz"
GOOD = {"id": "good", "startTime": 1.7e9, "metadata": {"user_api_key_user_id": "u"}, "messages": "x"}

names = st.sampled_from(
    [
        "id",
        "request_id",
        "startTime",
        "endTime",
        "metadata",
        "messages",
        "response",
        "choices",
        "model_parameters",
        "user",
        "api_key",
        "stream",
        "model",
        "prompt_tokens",
        "user_api_key_user_id",
        "user_api_key_hash",
        "user_api_key_user_email",
        "requester_ip_address",
        "requester_custom_headers",
        "role",
        "content",
        "type",
        "text",
        "input",
        "prompt",
        "tools",
        "response_format",
        "proxy_server_request",
        "user_agent",
        "stop",
        "temperature",
        "instructions",
    ]
)
words = st.text(max_size=12) | st.sampled_from(
    ["user", "system", "text", "message", "{}", "[1]", '[{"role":"user","content":"x"}]', "2026-01-01", "a@b"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.just(1.7e9) | words
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | words, inner, max_size=6), max_leaves=20
)
payloads = st.dictionaries(names, anything, max_size=10) | st.dictionaries(names, anything, max_size=4).map(lambda d: {**GOOD, **d})


def read(lines: list[bytes]) -> tuple[list[dict[str, Any]], Quarantine]:
    quarantine = Quarantine.memory()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.jsonl"
        path.write_bytes(b"\n".join(lines))
        batches = list(read_calls([path], Identity(KEY), quarantine))
    for batch in batches:
        batch.validate(full=True)
    return [row for batch in batches for row in batch.to_pylist()], quarantine


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(st.lists(payloads | anything, max_size=4), st.lists(st.binary(max_size=40).filter(lambda b: b"\n" not in b), max_size=2))
def test_every_line_becomes_a_row_or_a_quarantine_entry(made: list[Any], noise: list[bytes]) -> None:
    lines = [json.dumps(GOOD).encode(), *(json.dumps(m).encode() for m in made), *noise]
    rows, quarantine = read(lines)
    assert len(rows) + quarantine.count == sum(1 for line in lines if line.strip(b" \t\r\n\0"))
    assert all(isinstance(e["line"], int) for e in quarantine.entries)


def twin(call: dict[str, Any]) -> dict[str, Any]:
    """Read one valid payload with chat messages, as plainly as the documentation tells it."""
    identity, meta = Identity(KEY), call["metadata"]
    mail, address = identity.mail(meta.get("user_api_key_user_email")), identity.address(call.get("requester_ip_address"))
    segments = []
    for message in call["messages"]:
        content = message["content"]
        text = _text(content)
        if message["role"] in ("system", "developer", "user") and text:
            segments.append(("user" if message["role"] == "user" else "system", text.replace("\0", " ")))
    said = [c["message"]["content"] for c in (call["response"] or {"choices": []})["choices"]]
    again = [m for m in call["messages"] if m["role"] == "assistant"]
    given = call.get("model_parameters") or {}
    kept = {k: v for k, v in given.items() if k in ("temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "presence_penalty",
                                                    "frequency_penalty", "logprobs")}  # fmt: skip
    kept = {k: int(v) if isinstance(v, float) and v == math.floor(v) else v for k, v in kept.items()}
    if "stop" in given:
        kept["stop"] = None if given["stop"] is None else len(given["stop"])
    if "response_format" in given:
        kept["response_format"] = given["response_format"]["type"]
    if "seed" in given:
        kept["+"] = ["seed"]
    return {
        "call_id": call["id"],
        "account": meta["user_api_key_user_id"],
        "key": meta.get("user_api_key_hash"),
        "at": call["startTime"],
        "ended": call["endTime"] if call["endTime"] >= call["startTime"] else None,
        "model": call["model"],
        "call_type": call["call_type"],
        "access_path": call["custom_llm_provider"],
        "status": call["status"],
        "stream": call["stream"],
        "org_ref": identity.ref("org", meta.get("user_api_key_org_id")),
        "mail_ref": mail[0],
        "mail_domain_ref": mail[1],
        "mail_shape": mail[2],
        "address_ref": address,
        "end_user_ref": identity.ref("end-user", call.get("end_user")),
        "agent": call.get("user_agent"),
        "headers": None,
        "params": json.dumps(kept, sort_keys=True, separators=(",", ":")),
        "prompt_tokens": call["prompt_tokens"],
        "reply_tokens": call["completion_tokens"],
        "roles": [role for role, _ in segments],
        "segments": [text for _, text in segments],
        "answer": "\n".join(t.replace("\0", " ") for t in said if t) or None,
        "resent": _written(again[-1]["content"]).replace("\0", " ") or None if again else None,
    }


def _written(content: Any) -> str:
    """Of an answer only words are hashed, so empty parts leave no line."""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content if part["text"])


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


some_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(lambda t: withheld.reason(t) is None)
chat = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        "content": some_text | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": some_text}), max_size=3),
    }
)
reply = st.fixed_dictionaries(
    {
        "choices": st.lists(st.fixed_dictionaries({"message": st.fixed_dictionaries({"content": st.none() | some_text})}), max_size=2),
        "usage": anything,
    }
)
valid = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "startTime": st.floats(1.5e9, 2e9),
        "endTime": st.floats(1.5e9, 2e9),
        "model": st.sampled_from(["m1", "m2"]),
        "call_type": st.just("acompletion"),
        "custom_llm_provider": st.sampled_from(["openai", "azure"]),
        "status": st.sampled_from(["success", "failure"]),
        "stream": st.booleans(),
        "metadata": st.fixed_dictionaries(
            {
                "user_api_key_user_id": st.uuids().map(str),
                "user_api_key_user_email": st.none() | st.emails(),
                "user_api_key_org_id": st.none() | st.just("o"),
            }
        ),
        "requester_ip_address": st.none() | st.ip_addresses().map(str),
        "user_agent": st.none() | st.sampled_from(["a/1", "b/2"]),
        "end_user": st.none() | st.just("e"),
        "messages": st.lists(chat, max_size=4),
        "model_parameters": st.fixed_dictionaries(
            {},
            optional={
                "temperature": st.floats(0, 2),
                "seed": st.integers(0, 9),
                "stop": st.none() | st.lists(st.just("x")),
                "n": st.integers(1, 9),
            },
        ),
        "prompt_tokens": st.integers(0, 2**40),
        "completion_tokens": st.integers(0, 2**40),
        "response": st.none() | reply,
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(st.lists(valid, min_size=1, max_size=4), st.booleans())
def test_the_slow_twin_agrees_on_valid_payloads(calls: list[dict[str, Any]], ascii_only: bool) -> None:
    rows, quarantine = read([json.dumps(c, ensure_ascii=ascii_only).encode("utf-8", "replace") for c in calls])
    assert not quarantine.entries
    assert [{k: v for k, v in r.items() if k != "tools"} for r in rows] == [twin(c) for c in calls]


@pytest.mark.skipif(not DEV.exists(), reason="the dev world is not beside the repository")
def test_the_slow_twin_agrees_on_the_dev_world() -> None:
    with gzip.open(DEV) as file:
        lines = [line.rstrip(b"\n") for line in itertools.islice(file, 2000)]
    rows, quarantine = read(lines)
    assert not quarantine.entries and not quarantine.repaired
    for row, line in zip(rows, lines, strict=True):
        tools = row.pop("tools")
        given = json.loads(line).get("model_parameters") or {}
        assert (tools is not None) == bool(given.get("tools") or "json_schema" in (given.get("response_format") or {}))
        assert row == twin(json.loads(line))
