"""No text is not a text: whatever stands in its place, the sketch says that it is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillwatch.watch.intake import Identity, Quarantine, Reader, few_prompts, withheld
from stillwatch.watch.intake.messages import read as read_messages
from stillwatch.watch.sketch import sketch_batch

KEY = bytes(range(32))


def call(n: int, messages: Any, **more: Any) -> dict[str, Any]:
    meta = {"user_api_key_user_id": f"u-{n}", "user_api_key_hash": f"k{n}"}
    return {"id": f"c-{n}", "startTime": 1.78e9 + n, "metadata": meta, "messages": messages, **more}


def sketched(path: Path, calls: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Reader]:
    path.write_text("\n".join(map(json.dumps, calls)))
    reader = Reader(Identity(KEY), Quarantine.memory())
    rows = [row for batch in reader.read([path]) for row in sketch_batch(batch, 0).to_pylist()]
    return rows, reader


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


IMAGE = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
GONE = [
    ([], withheld.NOT_STORED),
    ({}, withheld.NOT_STORED),
    (None, withheld.NOT_STORED),
    ("", withheld.NOT_STORED),
    (user("default-message-value"), withheld.NOT_STORED),
    ("default-message-value", withheld.NOT_STORED),
    (user("redacted-by-litellm"), withheld.REDACTED),
    (user("Redacted-By-LiteLLM"), withheld.REDACTED),
    ("redacted-by-litellm", withheld.REDACTED),
    (user([{"type": "text", "text": "redacted-by-litellm"}]), withheld.REDACTED),
    (user([{"type": "text", "text": "REDACTED_BY_LITELM"}, IMAGE]), withheld.REDACTED),
    ([{"role": "system", "content": "[REDACTED]"}, *user(" [Redacted] ")], withheld.REDACTED),
    ({"messages": user("<prompt withheld>")}, withheld.REDACTED),
    ([{"role": "user", "parts": [{"text": "***"}]}], withheld.REDACTED),
    (user("Message content not logged"), withheld.REDACTED),
    (user("sha256:" + "0f" * 32), withheld.DIGEST),
    (user("0F" * 16), withheld.DIGEST),
    ({"prompt": "ab" * 32}, withheld.DIGEST),
    (user([IMAGE]), withheld.MEDIA_ONLY),
    (user("[image]"), withheld.MEDIA_ONLY),
    (user([{"type": "input_audio", "input_audio": {}}, IMAGE]), withheld.MEDIA_ONLY),
    ([{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]}], withheld.MEDIA_ONLY),
    (user([{"image": {"format": "png"}}]), withheld.MEDIA_ONLY),
    ([1, 2, 3], withheld.TOKENS_ONLY),
    ([[1, 2], [3]], withheld.TOKENS_ONLY),
    (user({"type": "encrypted", "data": "xyz"}), withheld.UNREADABLE),
]


@pytest.mark.parametrize(("messages", "reason"), GONE, ids=[json.dumps(m)[:60] for m, _ in GONE])
def test_no_text_makes_no_segment_and_no_hash(tmp_path: Path, messages: Any, reason: str) -> None:
    rows, reader = sketched(tmp_path / "a.jsonl", [call(0, messages), call(1, messages), call(2, user("a question that is really there"))])
    assert [(r["text"] != 0, r["words"], r["prints"] != []) for r in rows[:2]] == [(False, 0, False)] * 2
    assert rows[2]["text"] != 0
    assert (reader.tally.calls, reader.tally.with_text, dict(reader.tally.without)) == (3, 1, {reason: 2})


@pytest.mark.parametrize("asked", [[IMAGE], "[REDACTED]", "redacted-by-litellm", "ab" * 32])
def test_a_system_text_alone_does_not_make_the_text_known(tmp_path: Path, asked: Any) -> None:
    system = {"role": "system", "content": "You read delivery notes and return one JSON object."}
    rows, reader = sketched(tmp_path / "a.jsonl", [call(n, [system, *user(asked)]) for n in (0, 1)])
    assert [r["text"] for r in rows] == [0, 0] and rows[0]["system"] == rows[1]["system"] != 0
    assert reader.tally.with_text == 0
    alone, reader = sketched(tmp_path / "b.jsonl", [call(0, [system])])
    assert alone[0]["text"] != 0 and reader.tally.with_text == 1, "who asks in the system text is still read"


def test_a_system_text_in_the_settings_does_not_either(tmp_path: Path) -> None:
    rows, reader = sketched(
        tmp_path / "a.jsonl", [call(0, user("redacted-by-litellm"), model_parameters={"instructions": "Be kind to all."})]
    )
    assert rows[0]["text"] == 0 and rows[0]["system"] != 0 and reader.tally.with_text == 0


@pytest.mark.parametrize(
    "text",
    ["hi", "removed", "What does [REDACTED] mean in this letter?", "redacted: is this word of French origin or of Latin?", "image", "Content is king", "xx",
     "deadbeef", "the message is clear", "***bold*** words", "Text: the prompt was not logged, so what do I do about it now?"],
)  # fmt: skip
def test_a_prompt_that_only_looks_so_is_kept(text: str) -> None:
    assert read_messages(json.dumps(user(text)).encode(), lambda _: None) == (["user"], [text], None)


def test_what_is_left_of_a_partly_withheld_request_is_kept(tmp_path: Path) -> None:
    told: list[str] = []
    made = [*user("[REDACTED]"), *user([{"type": "text", "text": "what is on it?"}, IMAGE])]
    assert read_messages(json.dumps(made).encode(), told.append) == (["user"], ["what is on it?\n[image]"], None)
    assert told == ["messages: a part without readable text was left out"]


def test_the_note_of_a_gateway_that_cut_a_text_is_no_template(tmp_path: Path) -> None:
    note = "... (litellm_truncated skipped 9000 chars. Truncation is a DB storage safeguard. Full data is logged to callbacks (OTEL, etc.). Set `X`.) ..."
    texts = [f"{word} " * 60 + note + f"{word} end" for word in ("alpha", "beta")]
    rows, _ = sketched(tmp_path / "a.jsonl", [call(n, user(t)) for n, t in enumerate(texts)])
    assert not set(rows[0]["prints"]) & set(rows[1]["prints"]) and rows[0]["text"] != rows[1]["text"]


def test_the_request_of_other_routes_is_read(tmp_path: Path) -> None:
    native = {"contents": [{"role": "user", "parts": [{"text": "q"}]}], "system_instruction": {"parts": [{"text": "s"}]},
              "generation_config": {"temperature": 0.2, "maxOutputTokens": 5, "stopSequences": ["a"]},
              "tools": [{"function_declarations": [{"name": "f", "parameters": {"a": 1}}]}]}  # fmt: skip
    camel = {"contents": native["contents"], "systemInstruction": native["system_instruction"],
             "generationConfig": {"temperature": 0.2, "maxOutputTokens": 5, "stopSequences": ["a"]},
             "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"a": 1}}]}]}  # fmt: skip
    converse = {"model": "m", "method": "POST", "endpoint": "e", "data": {"messages": [{"role": "user", "content": [{"text": "q"}]}],
                "system": [{"text": "s"}], "inferenceConfig": {"maxTokens": 5}, "toolConfig": {"tools": [{"toolSpec": {"name": "f",
                "inputSchema": {"json": {"a": 1}}}}]}}}  # fmt: skip
    rows = []
    for n, body in enumerate((native, camel, converse, {"body": converse})):
        row = {"request_id": f"r{n}", "startTime": 1.78e9, "api_key": "k", "messages": {}, "proxy_server_request": body, "metadata": {}}
        (tmp_path / "a.jsonl").write_text(json.dumps(row))
        rows += [r for b in Reader(Identity(KEY), Quarantine.memory()).read([tmp_path / "a.jsonl"]) for r in b.to_pylist()]
    assert [(r["roles"], r["segments"]) for r in rows] == [(["system", "user"], ["s", "q"])] * 4
    assert [r["params"] for r in rows[:2]] == ['{"max_output_tokens":5,"stop":1,"temperature":0.2}'] * 2
    assert {r["tools"] for r in rows} == {'{"tools":[["f",{"a":1}]]}'}


def test_tools_of_unknown_forms_stay_different() -> None:
    from stillwatch.watch.intake.parameters import settings_of

    assert settings_of({"tools": [{"google_search": {}}]}).tools != settings_of({"tools": [{"code_execution": {}}]}).tools


def test_look_ups_are_counted_and_are_no_calls(tmp_path: Path) -> None:
    sorts = [
        "aget_responses",
        "get_responses",
        "adelete_responses",
        "acancel_batch",
        "aretrieve_batch",
        "alist_input_items",
        "afile_content",
        "list_mcp_tools",
    ]
    asked = [
        "acompletion",
        "aresponses",
        "agenerate_content",
        "generate_content_stream",
        "acreate_batch",
        "anthropic_messages",
        "allm_passthrough_route",
        "",
    ]
    rows, reader = sketched(tmp_path / "a.jsonl", [call(n, user("q"), call_type=s) for n, s in enumerate(sorts + asked)])
    assert len(rows) == len(asked) and reader.tally.looked_up == len(sorts)
    assert any(n.startswith("8 requests only look up") for n in reader.notices)


def test_missing_prompts_are_said_first_with_the_gateways_setting(tmp_path: Path) -> None:
    _, reader = sketched(tmp_path / "a.jsonl", [call(n, [] if n else user("q"), requester_ip_address="1.2.3.4, 5.6.7.8") for n in range(3)])
    first = reader.notices[0]
    assert first.startswith("only 1 of 3 calls holds a prompt (prompt not stored: 2)")
    for name in ("store_prompts_in_spend_logs", "turn_off_message_logging", "x-litellm-enable-message-redaction"):
        assert name in first
    assert len(reader.notices) == 2 and reader.notices[1].startswith("3 calls have a chain of forwarded addresses")
    assert few_prompts(4, 2, {}) is None and few_prompts(0, 0, {}) is None
    told = few_prompts(10, 1, {withheld.REDACTED: 9})
    assert told is not None and told.code == "no-text" and told.share == 0.9 and told.unjudged
