"""What a call was answered, and the last answer its client sent back with it.

Both are read so that their words can be hashed (``sketch.echo``); neither is ever stored.  A log without replies, or with replies that the
gateway took out, gives None: not known, which is not the same as an empty answer.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stillwatch.watch.intake.messages import text_of

#: What LiteLLM writes instead of a reply's text when logging of messages is switched off.
_REDACTED: Final = "redacted-by-litellm"
_DEEPEST: Final = 6
_ANSWERING: Final = frozenset(("assistant", "model"))


class _Said(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Said


class _Reply(msgspec.Struct, gc=False):
    choices: list[_Choice]


class _Turn(msgspec.Struct, gc=False):
    role: str
    content: str | None = None


_reply = msgspec.json.Decoder(_Reply).decode
_turns = msgspec.json.Decoder(list[_Turn]).decode
_anything = msgspec.json.Decoder().decode


def answer(response: bytes) -> str | None:
    """The text of a logged reply, reasoning included; None where there is none to read.

    Args:
        response: undecoded JSON: a chat or text completion, a Responses, Messages or Gemini reply, a list of their stream's pieces, or plain text.
    """
    if len(response) <= 4:  # nothing, null, {}, [] or ""
        return None
    try:
        choices = _reply(response).choices
        if len(choices) == 1 and (said := choices[0].message).content and not said.reasoning_content:  # nearly all
            return _kept([said.content])
        found = [t for c in choices for t in (c.message.reasoning_content, c.message.content) if t]
    except (msgspec.DecodeError, UnicodeError):
        found = []
    if not found:
        try:
            found = _texts(_anything(response), 0)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
    return _kept(found)


def resent(messages: bytes) -> str | None:
    """The last answer among the messages that a client sent: the conversation it goes on with; None where it begins one.

    Args:
        messages: undecoded JSON of a request's messages, in any of the forms that ``messages.read`` takes.
    """
    # Nearly all begin a conversation, and are not worth decoding.
    if not (b'"assistant"' in messages or b'"model"' in messages or b'\\"assistant\\"' in messages or b'\\"model\\"' in messages):
        return None
    try:
        said = [t.content for t in _turns(messages) if t.role in _ANSWERING]
    except (msgspec.DecodeError, UnicodeError):
        try:
            said = [_content(m) for m in _listed(_anything(messages), 0) if isinstance(m, dict) and m.get("role") in _ANSWERING]
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
    last = said[-1] if said else None
    return _kept([last]) if last else None


def _kept(found: list[str]) -> str | None:
    if len(found) == 1 and "\0" not in found[0]:
        return found[0] if found[0] and found[0] != _REDACTED else None
    return "\n".join(t.replace("\0", " ") for t in found if t != _REDACTED) or None


def _content(message: dict[str, Any]) -> str:
    return text_of(message.get("content") or message.get("parts"))


def _listed(value: Any, depth: int) -> list[Any]:
    """The list of messages inside any of the forms."""
    if isinstance(value, str) and value[:1] in ("[", "{") and depth < _DEEPEST:
        return _listed(_anything(value), depth + 1)
    if isinstance(value, dict) and depth < _DEEPEST:
        inner = next((value[name] for name in ("messages", "input", "contents") if value.get(name)), None)
        return _listed(inner, depth + 1)
    return value if isinstance(value, list) else []


def _texts(value: Any, depth: int) -> list[str]:
    """The texts of a reply, in order; what is no text (tool calls, images, numbers) is passed over."""
    if depth > _DEEPEST:
        return []
    if isinstance(value, str):
        packed = _packed(value) if depth == 0 else None
        return [value] if packed is None else _texts(packed, 1)
    if isinstance(value, list):
        found = [_texts(v, depth + 1) for v in value]
        streamed = bool(value) and all(isinstance(v, dict) and _is_piece(v) for v in value)
        # A stream's pieces are parts of words; anything else is texts of their own.
        return ["".join(t for some in found for t in some)] if streamed else [t for some in found for t in some]
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("text"), str):
        return [value["text"]]
    names = ("choices", "candidates", "output", "message", "delta", "reasoning_content", "thinking", "content", "parts", "response")
    return [t for name in names if value.get(name) for t in _texts(value[name], depth + 1)]


def _is_piece(value: dict[str, Any]) -> bool:
    choices = value.get("choices")
    return (
        "delta" in value
        or "candidates" in value
        or (isinstance(choices, list) and all(isinstance(c, dict) and "delta" in c for c in choices))  # the last one may have none
        or str(value.get("type", "")).startswith(("message_", "content_block_", "response."))
        or str(value.get("object", "")).endswith(".chunk")
    )


def _packed(text: str) -> Any | None:
    """The reply inside a string that is itself JSON (spend logs do that), None for an answer that only looks like it."""
    if text[:1] not in ("[", "{"):
        return None
    try:
        value = _anything(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    first = value[0] if isinstance(value, list) and value else value
    known = ("choices", "candidates", "output", "content", "message", "delta")
    return value if isinstance(first, dict) and any(isinstance(first.get(k), list | dict) for k in known) else None
